"""What is wrong with a study's tuning, as far as its design tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ablate.spec.candidates import Candidate, Factor
from ablate.spec.evaluation import EvaluationConfig
from ablate.spec.fields import NAMES, field_paths, is_identity, links, nests
from ablate.spec.messages import one_of, show
from ablate.spec.overrides import checked_override, flatten, unknown_path
from ablate.spec.problems import Place, Problem
from ablate.spec.registry import registry
from ablate.spec.sections import routes
from ablate.spec.study import Study
from ablate.spec.suite_checks import VALIDATED
from ablate.spec.tune import Domain, Prune, Range, Tune
from ablate.spec.tune_space import spelled
from ablate.spec.usage import reaches_row, uses

MOST_SHOWN = 6
"""Cells that a message names."""
_COMMAND = ("command", "command_timeout_seconds", "backend")
_OF_TRIALS = ("split", "suite")
"""Fields of the evaluation that tuning decides itself."""


def tune_problems(
    study: Study, factors: Sequence[Factor], candidates: Sequence[Candidate]
) -> Iterator[Problem]:
    """Yield every problem of a study's tuning that needs no resolved cell."""
    tune = study.tune
    if tune is None:
        return
    arms = arms_of(candidates)
    if not arms:
        found = "no cell is trained; rows and imported results are not tuned"
        yield Problem(("tune",), f"{found}. Remove tune, or train something.", at_key=True)
    if "policy" not in study.seeds.vary:
        found = "'policy' is not among them, so the results would be the trials' own trainings"
        yield Problem(("seeds", "vary"), f"{found}. Tuning needs it: add policy.")
    for path, domain in tune.search.items():
        yield from _searched(path, domain, factors, arms)
    yield from _twice(tune, arms)
    bare = [arm.name for arm in arms if not _dimensions(tune, arm)]
    if bare and arms:
        found = f"{_listed(bare)} would not be tuned: no field of the search is used there"
        advice = "Every trained cell has the same budget. Search a field of theirs too."
        yield Problem(("tune", "search"), f"{found}. {advice}", at_key=True)
    if tune.prune is not None:
        yield from _pruned(tune, tune.prune, factors, arms)
    yield from _evaluated(tune, candidates)


def _dimensions(tune: Tune, arm: Candidate) -> list[str]:
    return [path for path in tune.search if uses(arm.overrides, spelled(path))]


def arms_of(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the cells that are trained."""
    return [c for c in candidates if c.overrides.get("algorithm") is not None]


def _searched(
    path: str, domain: Domain, factors: Sequence[Factor], arms: Sequence[Candidate]
) -> Iterator[Problem]:
    place: Place = ("tune", "search", path)
    if wrong := _untunable(spelled(path), factors):
        yield Problem(place, wrong, at_key=True)
        return
    is_range = isinstance(domain, Range)
    for key, value in _values(domain):
        checked, message = checked_override(spelled(path), value)
        if message is not None:
            yield Problem((*place, key), message)
        elif is_range and (isinstance(checked, bool) or not isinstance(checked, int | float)):
            yield Problem(place, "this field has no range; list its values.", at_key=True)
            return
    if arms and not any(uses(arm.overrides, spelled(path)) for arm in arms):
        names = sorted({str(arm.overrides["algorithm"]) for arm in arms})
        found = f"no cell uses this field; cells train with {', '.join(names)}"
        yield Problem(place, f"{found}. Remove it.", at_key=True)


def _values(domain: Domain) -> Iterator[tuple[str | int, object]]:
    """Yield the values that an entry of the search names, with the key or position of each."""
    if isinstance(domain, Range):
        yield from (("low", domain.low), ("high", domain.high))
    else:
        yield from enumerate(domain)


def _untunable(path: str, factors: Sequence[Factor]) -> str:
    """Return why a path cannot differ between the trials of a cell; empty if it can."""
    if (unknown := unknown_path(path)) is not None:
        return unknown
    section, _, name = path.partition(".")
    if path in NAMES or (path not in field_paths() or nests(path)):
        found = "names what a study compares" if path in NAMES else "is a section of fields"
        return f"{show(path)} {found}; only single fields are searched. Remove it."
    if reaches_row(path) or section == "reward_evaluation":
        shared = "how results are measured" if "evaluation" in section else "where cells start"
        return f"{show(path)} says {shared}, which trials share. Set it under base."
    if name in _COMMAND or not is_identity(path):
        return "this field says where or how fast a job runs, not what it computes. Remove it."
    mine = set(routes(path))
    for factor in factors:
        if any(mine & set(routes(other)) for other in factor.paths):
            found = f"{factor.name!r} is a factor of the study, whose levels are compared"
            return f"{found} as they are. Remove it here or there."
    return ""


def _twice(tune: Tune, arms: Sequence[Candidate]) -> Iterator[Problem]:
    """Yield fields that two entries of the search set in one cell."""
    paths = list(tune.search)
    for number, path in enumerate(paths):
        for other in paths[:number]:
            common = set(routes(spelled(path))) & set(routes(spelled(other)))
            shared = {section for section, _ in common}
            for arm in arms:
                if shared & {*links(str(arm.overrides["algorithm"])), "reward_model"}:
                    found = f"{other!r} searches the same field of {arm.name!r}. Keep one"
                    yield Problem(("tune", "search", path), f"{found}.", at_key=True)
                    break


def _pruned(
    tune: Tune, prune: Prune, factors: Sequence[Factor], arms: Sequence[Candidate]
) -> Iterator[Problem]:
    if tune.parallel < 2:
        found = "a round of one trial has nothing to prune. Raise tune.parallel."
        yield Problem(("tune", "prune"), found, at_key=True)
    searched = {route for path in tune.search for route in routes(spelled(path))}
    for number, rung in enumerate(prune.rungs):
        place: Place = ("tune", "prune", "rungs", number)
        flat = flatten(rung, place)
        yield from flat.problems
        for path, where in flat.places.items():
            if wrong := _untunable(path, factors):
                yield Problem(where, wrong, at_key=True)
            elif searched & set(routes(path)):
                found = "this field is searched; a rung would set all its trials alike. Remove it."
                yield Problem(where, found, at_key=True)
        idle = [a.name for a in arms if not any(uses(a.overrides, path) for path in flat.values)]
        if idle and flat.values and not flat.problems:
            found = f"no field that {_listed(idle)} uses, so that its rung would be no shorter"
            yield Problem(place, f"{found}. Add one, such as policy.epochs.")


def _evaluated(tune: Tune, candidates: Sequence[Candidate]) -> Iterator[Problem]:
    place: Place = ("tune", "evaluation")
    for name in _OF_TRIALS:
        if name in tune.evaluation:
            why = "trials are always evaluated on the validation split of the study's suite"
            yield Problem((*place, name), f"{why}. Remove it.", at_key=True)
    for problem in flatten({"evaluation": dict(tune.evaluation)}, ("tune",)).problems:
        if problem.place[:3] not in {(*place, name) for name in _OF_TRIALS}:
            yield problem
    for candidate in candidates:
        if candidate.overrides.get("evaluation.split") == "validation":
            found = "the results would be read on the split that values are chosen on"
            where = candidate.places.get("evaluation.split", ("base", "evaluation.split"))
            yield Problem(where, f"{found}. Leave it at test: tuning takes validation itself.")
            return


def objective_problem(objective: str, evaluation: EvaluationConfig) -> str:
    """Return what is wrong with an objective on a suite; empty if it has such a score."""
    entry = registry().suites.get(evaluation.suite)
    tasks = dict(entry.tasks) if entry is not None else {}
    if evaluation.definition is not None:
        tasks = dict(evaluation.definition.tasks)
    known = dict.fromkeys(["average", *(task.category or name for name, task in tasks.items())])
    known |= dict.fromkeys([*tasks, *(name.replace("-", "_") for name in evaluation.rewards)])
    by_code = evaluation.definition is None
    if by_code and entry is not None and entry.world is not None:
        known["gold"] = None
    plain = objective.removeprefix("greedy_") if by_code else objective
    if plain in known or any(plain.startswith(f"{name}_") for name in tasks):
        return ""
    return one_of(objective, known)


def has_validation(suite: str, evaluation: EvaluationConfig) -> bool:
    """Whether a suite has documents for ``split: validation``."""
    if evaluation.definition is not None:
        return all(task.kind in VALIDATED for task in evaluation.definition.tasks.values())
    entry = registry().suites.get(suite)
    return entry is None or "validation" in entry.items


def validated_suites() -> str:
    """Return what can be tuned on, for messages."""
    whole = [name for name, entry in registry().suites.items() if "validation" in entry.items]
    kinds = sorted(str(kind) for kind in VALIDATED)
    return f"{', '.join(whole)} has one, and so have the benchmarks {' and '.join(kinds)}"


def _listed(names: Sequence[str]) -> str:
    shown = [show(name) for name in names[:MOST_SHOWN]]
    return ", ".join([*shown, "..."] if len(names) > len(shown) else shown)
