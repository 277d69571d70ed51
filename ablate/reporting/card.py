"""The model card of an exported policy: what was trained from what, and what came of it.

Everything is read from the records beside the artifacts. No path of the machine is in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.evidence import Evidence
from ablate.reporting.markdown import escape
from ablate.reporting.records import RunRecord, StudyRecord
from ablate.spec.analysis import Analysis
from ablate.spec.registry import model_named, registry
from ablate.stats.crossed import item_score
from ablate.stats.estimate import Estimate
from ablate.store.manifest import Manifest

TRAINING = ("model", "sft", "reward_model", "policy")
"""Stages that leave a model."""
_PRIVATE = ("location", "prompts_location", "command_location", "shape")
"""Fields that say where this machine keeps something, or what the model itself says."""
_DATA = ("dataset", "prompts")


@dataclass(frozen=True)
class Exported:
    """One trained model and everything behind it."""

    study: str
    cell: str
    seed: int
    lineage: tuple[Manifest, ...]
    """The records of the model and of all it was made from, inputs first."""
    evaluation: Path | None
    """Folder of its scores; None where it was not evaluated."""

    @property
    def model(self) -> Manifest:
        """The record of what is exported."""
        return self.lineage[-1]


def model_card(exported: Exported) -> str:
    """Return the card as Markdown with a front matter that model hubs read."""
    parts = [
        *_front_matter(exported),
        f"# {escape(exported.cell)}, seed {exported.seed}, of the study {escape(exported.study)}",
        "",
        *_summary(exported),
        *_stages(exported),
        *_data(exported),
        *_scores(exported),
        *_limits(exported),
    ]
    return "\n".join(parts).rstrip() + "\n"


def _front_matter(exported: Exported) -> Iterator[str]:
    yield "---"
    yield "library_name: transformers"
    yield "pipeline_tag: text-generation"
    if (hub := _hub_id(exported)) is not None:
        yield f"base_model: {json.dumps(hub)}"
    yield f"tags: {json.dumps(['ablate-studies', _method(exported.model)])}"
    yield "---"
    yield ""


def _hub_id(exported: Exported) -> str | None:
    for record in exported.lineage:
        content = str(record.config.get("content") or "")
        if record.stage == "model" and content.startswith("hub:"):
            return content.removeprefix("hub:").partition("@")[0]
    return None


def _method(record: Manifest) -> str:
    return str(record.config.get("algorithm") or record.config.get("kind") or record.stage)


def _summary(exported: Exported) -> Iterator[str]:
    model, versions = exported.model, dict(exported.model.numerics.get("versions") or {})
    yield (
        f"A language model trained by ablate (stage {model.stage}, {escape(_method(model))}; "
        f"artifact {model.stage}-{model.fingerprint}, code {model.code[:12]})."
    )
    shown = ", ".join(f"{escape(str(k))} {escape(str(v))}" for k, v in sorted(versions.items()))
    if shown:
        yield f"Computed with {shown}."
    yield ""


def _stages(exported: Exported) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    for number, record in enumerate(exported.lineage, start=1):
        inputs = ", ".join(f"{role}: {key}" for role, key in sorted(record.inputs.items()))
        yield f"{number}. **{record.stage}-{record.fingerprint}** ({escape(_method(record))})"
        yield f"   from {escape(inputs)}" if inputs else "   from nothing"
    yield ""
    for record in exported.lineage:
        if record.stage in TRAINING:
            yield f"### {record.stage}-{record.fingerprint}"
            yield ""
            yield "| field | value |"
            yield "| --- | --- |"
            for name, value in sorted(record.config.items()):
                if name not in _PRIVATE and value not in (None, [], ""):
                    yield f"| {escape(name)} | {escape(_shown(value))} |"
            yield ""


def _shown(value: Any) -> str:
    """Return a field's value as JSON, paths by their last part."""
    return json.dumps(_without_paths(value), ensure_ascii=False, sort_keys=True)


def _without_paths(value: Any) -> Any:
    if isinstance(value, str):
        is_path = value.startswith(("/", "./", "../", "~")) or "\\" in value
        return PurePath(value.replace("\\", "/")).name if is_path else value
    if isinstance(value, Mapping):
        return {str(key): _without_paths(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [_without_paths(item) for item in value]
    return value


def _data(exported: Exported) -> Iterator[str]:
    """Yield what is known of the base model and the data: source, terms, content."""
    yield "## Base model and data"
    yield ""
    for record in exported.lineage:
        if record.stage == "model":
            yield f"- Base model: {escape(_base(record))}"
    named = {
        (str(_without_paths(record.config[field])), str(record.config.get(_content(field)) or ""))
        for record in exported.lineage
        for field in _DATA
        if record.config.get(field) not in (None, "dataset")
    }
    for name, content in sorted(named):
        yield f"- {escape(name)}: {escape(_origin(name, content))}"
    yield ""


def _content(field: str) -> str:
    return "content" if field == "dataset" else f"{field}_content"


def _base(record: Manifest) -> str:
    config = record.config
    if config.get("kind") == "embedded":
        return f"trained from scratch on the generated world {config.get('world')}"
    content = str(config.get("content"))
    if content.startswith("hub:"):
        name = content.removeprefix("hub:")
        entry = model_named(name)
        known = entry.hub.license if entry is not None and entry.hub is not None else None
        terms = f"terms: {known}" if known is not None else "its terms are stated there"
        return f"{name} of a model hub; {terms}"
    return f"a local {config.get('format')} model, SHA-256 {content}; its terms are not recorded"


def _origin(name: str, content: str) -> str:
    known = registry()
    entry = known.datasets.get(name) or known.prompts.get(name)
    if entry is None:
        return f"a local file, SHA-256 {content or 'not recorded'}; its terms are not recorded"
    if entry.data is None:
        return f"{entry.description} Generated, no terms."
    return f"{entry.description} From {entry.data.source}; terms: {entry.data.license}."


def _scores(exported: Exported) -> Iterator[str]:
    yield "## Scores"
    yield ""
    run = RunRecord(
        cell=exported.cell,
        levels={},
        seed=exported.seed,
        run_id="",
        parent=None,
        kind="policy",
        status=None,
        artifacts={"evaluation": exported.evaluation},
        fingerprints={},
        missing=None,
    )
    evidence = Evidence(_study_of(exported, run))
    rows = evidence.scores(run)
    if not rows:
        yield "Not evaluated."
        yield ""
        return
    yield "One seed, this checkpoint: intervals are over the evaluation's items alone (95 %)."
    yield ""
    yield "| metric | value | interval | items | better is |"
    yield "| --- | ---: | ---: | ---: | --- |"
    for name, row in rows.items():
        arm = evidence.arm(exported.cell, name, [exported.seed])
        found = item_score(arm) if arm is not None else None
        yield _score_line(row, found)
    yield ""


def _score_line(row: MetricRow, found: Estimate | None) -> str:
    interval = text.DASH
    if found is not None and found.defined:
        interval = f"{found.low:.3g} to {found.high:.3g}"
    value = text.DASH if math.isnan(row.value) else f"{row.value:.4g} {row.unit}"
    cells = (text.label(row.metric), value, interval, str(row.n_items), row.direction)
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def _study_of(exported: Exported, run: RunRecord) -> StudyRecord:
    """Return a study that has this one run."""
    return StudyRecord(
        name=exported.study,
        question="",
        expectation="",
        status=None,
        analysis=Analysis(correction="none"),
        baseline=None,
        design="cells",
        cells=(exported.cell,),
        runs=(run,),
        source_text="",
        digest="",
        plan_summary={},
        vary=(),
    )


def _limits(exported: Exported) -> Iterator[str]:
    yield "## Limits"
    yield ""
    yield (
        "Made to compare ways of training, not to be used by people. It was not tested for safety "
        "beyond the scores above, and may say what its data say, true or not. One checkpoint is no "
        "evidence about a recipe: compare seeds and arms with the study's report."
    )
    if any(record.config.get("world") == "tiny-instruct" for record in exported.lineage):
        yield "It speaks the few words of a generated world and knows no language."
