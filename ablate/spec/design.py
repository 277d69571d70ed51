"""From a study's design to its cells: names, levels and overrides, before anything is resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ablate.spec.candidates import Candidate, Factor
from ablate.spec.contrast_checks import contrast_problems
from ablate.spec.factors import UNUSED, label, named_factors
from ablate.spec.grid import grid_candidates
from ablate.spec.messages import one_of, show
from ablate.spec.one_factor import one_at_a_time
from ablate.spec.overrides import Flat, Overrides, flatten, merged
from ablate.spec.problems import Place, Problem
from ablate.spec.study import Study
from ablate.spec.tune_checks import tune_problems
from ablate.spec.usage import uses

RESERVED = ("from", "status")
"""Keys of a rung, branch or explicit cell that are not fields."""


@dataclass(frozen=True)
class Design:
    """What a study compares."""

    base: Overrides
    """What every cell starts from."""
    base_places: Mapping[str, Place]
    """Where each of its values stands in the file."""
    factors: tuple[Factor, ...]
    """What varies, in the order of the file."""
    candidates: tuple[Candidate, ...]
    """The cells, rows aside, each under its own name."""
    problems: tuple[Problem, ...]
    """Everything wrong with values, levels and names."""


def read_design(study: Study) -> Design:
    """Return the cells of a study and every problem of its design; resolves nothing."""
    flat = flatten(study.base, ("base",))
    problems = list(flat.problems)
    base = Candidate("", {}, flat.values, places=flat.places)
    factors: list[Factor] = []
    if study.grid is not None:
        factors, candidates = grid_candidates(study, base, problems)
    elif study.one_factor_at_a_time is not None:
        factors, candidates = one_at_a_time(study, base, problems)
    elif study.ladder is not None:
        candidates = _ladder(study, base, problems)
    else:
        candidates = _cells(study, base, problems)
    if not factors:
        factors, candidates = _with_levels(candidates)
    _check_names(study, candidates, problems)
    if not problems:
        _check_use(study, factors, candidates, problems)
    _check_baseline(study, candidates, problems)
    problems.extend(contrast_problems(study, factors, candidates))
    problems.extend(tune_problems(study, factors, candidates))
    return Design(flat.values, flat.places, tuple(factors), tuple(candidates), tuple(problems))


def _ladder(study: Study, base: Candidate, problems: list[Problem]) -> list[Candidate]:
    candidates: list[Candidate] = []
    for index, rung in enumerate(study.ladder or ()):
        ((name, change),) = rung.items()
        place: Place = ("ladder", index, name)
        before = candidates[-1] if candidates else base
        if "from" in change:
            found = "a rung starts from the rung before it. Move it to branches."
            problems.append(Problem((*place, "from"), found, at_key=True))
        candidates.append(_changed(before, name, change, place, problems))
    by_name = {candidate.name: candidate for candidate in candidates}
    for name, change in study.branches.items():
        place = ("branches", name)
        origin = change.get("from")
        if not isinstance(origin, str) or origin not in by_name:
            if "from" in change:
                problems.append(Problem((*place, "from"), one_of(origin, by_name)))
            else:
                found = "no 'from'; a branch names the rung it leaves. Add `from: <rung>`."
                problems.append(Problem(place, found, at_key=True))
            origin = candidates[0].name
        candidate = _changed(by_name[origin], name, change, place, problems)
        candidates.append(candidate)
        by_name.setdefault(name, candidate)
    return candidates


def _cells(study: Study, base: Candidate, problems: list[Problem]) -> list[Candidate]:
    candidates: list[Candidate] = []
    for name, change in (study.cells or {}).items():
        place: Place = ("cells", name)
        if "from" in change:
            found = "an explicit cell starts from base. Remove 'from', or write a ladder."
            problems.append(Problem((*place, "from"), found, at_key=True))
        candidates.append(_changed(base, name, change, place, problems))
    return candidates


def _changed(
    before: Candidate,
    name: str,
    change: Mapping[str, object],
    place: Place,
    problems: list[Problem],
) -> Candidate:
    flat: Flat = flatten(change, place, reserved=RESERVED)
    problems.extend(flat.problems)
    status = change.get("status")
    if "status" in change and status not in (None, "preliminary"):
        found = f"{one_of(status, ['preliminary'])} Remove it where it does not hold."
        problems.append(Problem((*place, "status"), found))
    return Candidate(
        name,
        {},
        merged(before.overrides, flat.values),
        parent=before.name or None,
        status=str(status) if status is not None else before.status,
        place=place,
        places={**before.places, **flat.places},
    )


def _with_levels(candidates: list[Candidate]) -> tuple[list[Factor], list[Candidate]]:
    """Make factors of the paths on which named cells differ, and give each cell its levels."""
    paths = dict.fromkeys(path for candidate in candidates for path in candidate.overrides)
    missing = object()
    varying = [
        path
        for path in paths
        if len({candidate.overrides.get(path, missing) for candidate in candidates}) > 1
    ]
    factors = [Factor(named_factors(path), (path,), ()) for path in varying]
    changed = []
    for candidate in candidates:
        levels = {
            factor.name: label(candidate.overrides[path])
            if path in candidate.overrides and uses(candidate.overrides, path)
            else UNUSED
            for factor, path in zip(factors, varying, strict=True)
        }
        changed.append(replace(candidate, levels=levels))
    return factors, changed


def _check_names(study: Study, candidates: list[Candidate], problems: list[Problem]) -> None:
    seen: dict[str, Candidate] = {}
    for index, row in enumerate(study.rows):
        if row in study.rows[:index]:
            problems.append(Problem(("rows", index), f"{row!r} is listed twice. Keep one."))
        if row == "sft" and "sft" in study.base and study.base["sft"] is None:
            found = "'sft', but base.sft is null: there is no SFT stage. Remove the row."
            problems.append(Problem(("rows", index), found))
    for candidate in candidates:
        at_key = isinstance(candidate.place[-1], str) if candidate.place else False
        if candidate.name in study.rows:
            found = f"{candidate.name!r} is the name of a row. Rename the cell."
            problems.append(Problem(candidate.place, found, at_key=at_key))
        elif candidate.name in seen:
            found = f"a second cell is called {candidate.name!r}. Rename one."
            problems.append(Problem(candidate.place, found, at_key=at_key))
        elif not candidate.name.strip() or not candidate.name.isprintable():
            found = f"{show(candidate.name)} cannot name a cell. Use printable text."
            problems.append(Problem(candidate.place, found, at_key=at_key))
        seen.setdefault(candidate.name, candidate)


def _check_use(
    study: Study,
    factors: list[Factor],
    candidates: list[Candidate],
    problems: list[Problem],
) -> None:
    """Report factors of a grid that no cell depends on."""
    if study.design not in ("grid", "one_factor_at_a_time"):
        return
    for factor in factors:
        if all(candidate.levels[factor.name] == UNUSED for candidate in candidates):
            algorithms = {candidate.overrides.get("algorithm") for candidate in candidates}
            trained = sorted(str(algorithm) for algorithm in algorithms if algorithm)
            why = (
                f"cells train with {', '.join(trained)}" if trained else "no cell has an algorithm"
            )
            found = f"no cell uses this factor; {why}. Remove the factor or set `algorithm`."
            problems.append(Problem(factor.place, found, at_key=True))


def _check_baseline(study: Study, candidates: list[Candidate], problems: list[Problem]) -> None:
    baseline = study.baseline
    place: Place = ("baseline",)
    if isinstance(baseline, str):
        names = [*study.rows, *(candidate.name for candidate in candidates), *study.imported]
        if baseline not in names:
            shown = names if len(names) <= 12 else [*names[:12], "..."]
            problems.append(Problem(place, one_of(baseline, shown)))
    elif baseline is not None and study.design not in ("grid", "one_factor_at_a_time"):
        found = f"a mapping; the baseline of {study.design!r} is the name of a cell or row."
        problems.append(Problem(place, f"{found} Name it."))
