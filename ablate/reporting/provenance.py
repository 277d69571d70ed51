"""Where the numbers come from: versions, hardware, fingerprints, times, and what was mixed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ablate.reporting import text
from ablate.reporting.records import StudyRecord
from ablate.reporting.reduced import out_of_memory
from ablate.reporting.tables import Cell, Table
from ablate.store.manifest import Manifest, read_manifest

NUMERICS = (
    *("machine", "processor", "device", "cpu_capability", "cuda", "threads", "dtype"),
    *("micro_batch_size", "optimizer", "backend", "python", "versions"),
)
"""Whose values must agree within a stage for numbers to be comparable to the last digit."""


@dataclass(frozen=True)
class Provenance:
    """What the provenance section shows."""

    facts: tuple[tuple[str, str], ...]
    """Title and value."""
    warnings: tuple[str, ...]
    """Mixed numerics, backends or code within one stage; what a reader must know of the data."""
    stages: Table | None
    """Jobs, time and budgets by stage."""
    runs: Table
    """Fingerprints by run."""


def provenance_of(study: StudyRecord) -> Provenance:
    """Read every manifest behind a study; artifacts without one are only listed."""
    manifests = {manifest.fingerprint: manifest for manifest in _manifests(study)}
    by_stage: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in manifests.values():
        by_stage[manifest.stage].append(manifest)
    return Provenance(
        facts=tuple(_facts(study, list(manifests.values()))),
        warnings=(*_mixed(by_stage), *out_of_memory(study, manifests)),
        stages=_stages(by_stage) if by_stage else None,
        runs=_runs(study),
    )


def _manifests(study: StudyRecord) -> Iterator[Manifest]:
    folders = {folder for run in study.runs for folder in run.artifacts.values() if folder}
    for folder in sorted(folders):
        manifest = read_manifest(folder)
        if manifest is not None:
            yield manifest


def _facts(study: StudyRecord, manifests: list[Manifest]) -> Iterator[tuple[str, str]]:
    yield "study digest", study.digest
    for title, value in study.plan_summary.items():
        yield str(title), str(value)
    if not manifests:
        return
    yield "first job started", _time(min(m.started for m in manifests))
    yield "last job ended", _time(max(m.ended for m in manifests))
    yield "computing time", f"{sum(m.wall_seconds for m in manifests) / 60:.1f} min over all jobs"
    for name in ("processor", "device", "dtype", "threads"):
        values = {_value(m, name) for m in manifests} - {""}
        if values:
            yield name, ", ".join(sorted(values))
    versions: dict[str, set[str]] = defaultdict(set)
    for manifest in manifests:
        for package, version in dict(manifest.numerics.get("versions") or {}).items():
            versions[str(package)].add(str(version))
    for package, found in sorted(versions.items()):
        yield package, ", ".join(sorted(found))
    for manifest in manifests:
        if manifest.adopted is not None:
            yield "adopted, not computed here", _adopted(manifest, manifest.adopted)
    yield "engines", ", ".join(sorted({m.engine for m in manifests}))
    yield "code", ", ".join(sorted({m.code[:12] for m in manifests}))


def _adopted(manifest: Manifest, origin: Mapping[str, Any]) -> str:
    note = f", {origin['note']}" if origin.get("note") else ""
    when = _time(float(origin.get("when") or manifest.ended))
    return (
        f"{manifest.stage}-{manifest.fingerprint} from {origin.get('path')} (sha256 "
        f"{str(origin.get('sha256'))[:12]}, by {origin.get('by')}, {when}{note})"
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _value(manifest: Manifest, name: str) -> str:
    value = manifest.numerics.get(name)
    if value is None and name == "backend":
        value = manifest.config.get(name)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in sorted(value.items()))
    return "" if value is None else str(value)


def _mixed(by_stage: Mapping[str, list[Manifest]]) -> Iterator[str]:
    for stage, manifests in by_stage.items():
        for name in NUMERICS:
            values = {_value(manifest, name) for manifest in manifests}
            if len(values) > 1:
                shown = "; ".join(sorted(value or "not recorded" for value in values))
                what = "mix backends" if name == "backend" else f"differ in {name}"
                yield f"{stage} jobs {what} ({shown}): equal to rounding, not to the bit."
        if len({manifest.code for manifest in manifests}) > 1:
            yield f"{stage} jobs ran under different versions of this package's code."


def _stages(by_stage: Mapping[str, list[Manifest]]) -> Table:
    rows = []
    for stage, manifests in by_stage.items():
        seconds = sum(m.wall_seconds for m in manifests)
        retried = sum(m.attempt > 1 for m in manifests)
        peaks = [m.peak_memory_bytes for m in manifests if m.peak_memory_bytes is not None]
        peak = max(peaks) / 1e6 if peaks else None
        rows.append(
            (
                Cell(stage),
                Cell(str(len(manifests)), sort=float(len(manifests))),
                Cell(f"{seconds:.0f}", sort=seconds),
                Cell(text.DASH if peak is None else f"{peak:,.0f}", sort=peak),
                Cell(_sums(m.timings for m in manifests)),
                Cell(_sums(m.counts for m in manifests)),
                Cell(str(retried), sort=float(retried)),
            )
        )
    columns = (
        *("stage", "jobs", "wall seconds", "peak memory of a job (MB)"),
        *("seconds by activity", "counts", "retried"),
    )
    return Table(
        "stages", "Work behind the report, shared jobs counted once.", columns, tuple(rows)
    )


def _sums(records: Iterator[Any] | Any) -> str:
    totals: dict[str, float] = defaultdict(float)
    for record in records:
        for name, amount in record.items():
            totals[name] += amount
    return ", ".join(f"{name} {amount:,.0f}" for name, amount in sorted(totals.items()))


def _runs(study: StudyRecord) -> Table:
    roles = list(dict.fromkeys(role for run in study.runs for role in run.fingerprints))
    rows = tuple(
        (
            Cell(run.cell, sub=run.run_id),
            Cell(str(run.seed), sort=float(run.seed)),
            *(Cell(run.fingerprints.get(role, "–")) for role in roles),
            Cell(run.missing or "complete"),
        )
        for run in study.runs
    )
    caption = "Fingerprints of every run's jobs; equal ones are one job."
    return Table("fingerprints", caption, ("run", "seed", *roles, "state"), rows)
