"""Everything computed for one study, before anything is drawn or written."""

from __future__ import annotations

from dataclasses import dataclass

from ablate.reporting.contrasts import Family, contrasts_of, families_of
from ablate.reporting.effects import EffectRow, effect_rows
from ablate.reporting.evidence import Evidence
from ablate.reporting.looks import take_looks
from ablate.reporting.records import StudyRecord


@dataclass(frozen=True)
class Findings:
    """Everything computed for one study, before anything is drawn or written."""

    study: StudyRecord
    evidence: Evidence
    families: tuple[Family, ...]
    """Families of comparisons, those declared first."""
    effects: tuple[EffectRow, ...]

    def rows(self, kind: str, metric: str | None = None) -> list[EffectRow]:
        """Return the effects of one kind on one metric (the primary one by default)."""
        name = metric or self.study.primary
        return [row for row in self.effects if row.kind == kind and row.metric == name]

    def declared(self, kind: str) -> bool:
        """Return whether the study declared a family before its results; others explore."""
        return any(family.name == kind and family.declared for family in self.families)


def analyse(study: StudyRecord) -> Findings:
    """Return every effect of a study on the headline metrics and the primary one."""
    evidence = Evidence(study)
    metrics = dict.fromkeys([*evidence.headline, study.primary, "greedy_average", "gold"])
    known = [name for name in metrics if name in evidence.metrics]
    contrasts = contrasts_of(study)
    take_looks(evidence, contrasts)
    rows = effect_rows(evidence, contrasts, known)
    return Findings(study, evidence, families_of(study), tuple(rows))
