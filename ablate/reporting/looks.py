"""The looks of a study, taken again from its artifacts: what ended where, and what goes on.

At each look the declared comparisons that are still open get a verdict from the seeds of that look.
What is no longer inconclusive has ended; both cells of the others get the seeds of the next look.
Nothing of this is written down: verdicts follow from the runs, so a study that was killed, or is
only reported, comes to the same looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ablate.plan.build import Plan, at_last_look, with_more_seeds
from ablate.reporting.collect import study_record
from ablate.reporting.contrasts import Contrast, contrasts_of
from ablate.reporting.effects import effect_rows
from ablate.reporting.evidence import Evidence
from ablate.reporting.records import RunRecord
from ablate.reporting.standing import Standing
from ablate.spec.load import LoadedStudy
from ablate.stats.verdicts import Verdict
from ablate.store.layout import Store

Pair = tuple[str, str]
"""Treatment and control."""


def take_looks(evidence: Evidence, contrasts: Sequence[Contrast]) -> dict[str, int]:
    """Fill in where every declared comparison stands; return the seeds that cells should have.

    A look is taken by a comparison when its runs have ended, and the next one is asked for when it
    was taken by all that were open: until then the corrections over a family are not final. Cells
    of no open comparison are left out: the first look is all they get. Changes nothing without
    declared looks.
    """
    looks = evidence.study.looks
    seeds: dict[str, int] = {}
    if looks is None:
        return seeds
    declared = [contrast for contrast in contrasts if contrast.declared]
    going = list(dict.fromkeys(_pair(contrast) for contrast in declared))
    going = [pair for pair in going if not any(evidence.source(cell) for cell in pair)]
    for number, count in enumerate(looks.counts, 1):
        seeds |= {cell: count for pair in going for cell in pair}
        look = looks.at(number)
        there = [pair for pair in going if _has_ended(evidence, pair, count)]
        if number == 1:
            evidence.standings |= {pair: Standing(look, is_reached=False) for pair in going}
        evidence.standings |= {pair: Standing(look, is_reached=True) for pair in there}
        is_taken = len(there) == len(going)
        there = [] if look.is_last else _inconclusive(evidence, declared, there)
        for pair in there:
            evidence.standings[pair] = replace(evidence.standings[pair], is_open=True)
        if not (is_taken and there):
            break
        going = there
    return seeds


def _pair(contrast: Contrast) -> Pair:
    return contrast.treatment, contrast.control


def _has_ended(evidence: Evidence, pair: Pair, count: int) -> bool:
    """Whether both cells have a result, or a failure, for every seed of a look."""
    for cell in pair:
        runs = [run for run in evidence.study.runs_of(cell) if run.seed < count]
        if len(runs) < count or not all(_is_over(run) for run in runs):
            return False
    return True


def _is_over(run: RunRecord) -> bool:
    """Whether nothing more comes of a run in this study's last word."""
    return run.missing is None or run.failed or run.missing.startswith("skipped")


def _inconclusive(
    evidence: Evidence, declared: Sequence[Contrast], pairs: list[Pair]
) -> list[Pair]:
    rows = effect_rows(evidence, declared, [evidence.study.primary])
    verdicts = {(row.treatment, row.control): row.verdict for row in rows}
    return [pair for pair in pairs if verdicts.get(pair) is Verdict.INCONCLUSIVE]


def seeds_wanted(
    loaded: LoadedStudy, plan: Plan, store: Store, *, reasons: Mapping[str, str]
) -> dict[str, int]:
    """Return the seeds that a study's looks ask for by now, by cell; ``plan`` has the first look's.

    ``reasons`` says by fingerprint why jobs have no artifact; of others they are waited for.
    """
    record = study_record(loaded, at_last_look(loaded.study, plan), store, reasons=reasons)
    return take_looks(Evidence(record), contrasts_of(record))


def grown_plan(
    loaded: LoadedStudy, plan: Plan, store: Store, *, reasons: Mapping[str, str]
) -> Plan:
    """Return the plan of a study with looks as the store's results have it grown by now.

    Without looks it is ``plan`` itself.
    """
    if not loaded.study.seeds.looks:
        return plan
    more = seeds_wanted(loaded, plan, store, reasons=reasons)
    return with_more_seeds(plan, more, vary=loaded.study.seeds.vary)
