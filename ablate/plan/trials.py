"""One trial of a cell: its values, on the validation split, trained as far as its rung says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ablate.spec.overrides import Overrides, flatten, merged
from ablate.spec.problems import Place, Problem
from ablate.spec.recipes import Recipe, UnresolvedError
from ablate.spec.resolve import Resolver
from ablate.spec.tune import Range, Tune
from ablate.spec.tune_checks import has_validation, objective_problem, validated_suites
from ablate.spec.tune_space import Dimension, space_of, spelled

Values = Mapping[str, object]
"""A trial's value of every field that its cell searches, by path."""

AMOUNTS = ("epochs", "steps", "rounds")
"""Fields that say how long an algorithm trains."""


def rung_count(tune: Tune) -> int:
    """Return how many trainings a trial has that is never pruned; the last is the full one."""
    return 1 + (len(tune.prune.rungs) if tune.prune is not None else 0)


def kept(tune: Tune, trials: int, rung: int) -> int:
    """Return how many of a round's ``trials`` reach a rung; ``rung`` counts from 0."""
    for _ in range(rung if tune.prune is not None else 0):
        assert tune.prune is not None
        # A share such as 0.3 is no binary number: 10 x 0.3 must stay 3.
        trials = max(1, int(trials * tune.prune.keep + 1e-9))
    return trials


def trial_overrides(tune: Tune, overrides: Overrides, values: Values, rung: int) -> Overrides:
    """Return the overrides of a trial of a cell on a rung; later ones replace earlier ones."""
    changed = merged(overrides, values)
    if tune.prune is not None and rung < len(tune.prune.rungs):
        changed = merged(changed, flatten(tune.prune.rungs[rung], ()).values)
    evaluation = flatten({"evaluation": dict(tune.evaluation)}, ()).values
    return merged(changed, {**evaluation, "evaluation.split": "validation"})


def trial_recipe(
    tune: Tune, overrides: Overrides, values: Values, rung: int, *, resolver: Resolver
) -> Recipe:
    """Return the recipe of a trial; raises UnresolvedError for values that go not together."""
    return resolver.recipe(trial_overrides(tune, overrides, values, rung))


def middle(space: Sequence[Dimension], share: float = 0.5) -> dict[str, object]:
    """Return values that stand for a trial to come, at a share of the way through each range."""
    return {dimension.path: dimension.at(share) for dimension in space}


def trial_problems(
    tune: Tune, arms: Sequence[tuple[str, Overrides]], resolver: Resolver
) -> list[Problem]:
    """Return what is wrong with the trials of cells that are right themselves, each once."""
    found: dict[Problem, None] = {}
    for name, overrides in arms:
        found |= dict.fromkeys(_arm_problems(tune, name, overrides, resolver))
    return list(found)


def _arm_problems(
    tune: Tune, name: str, overrides: Overrides, resolver: Resolver
) -> Iterator[Problem]:
    space = space_of(tune, overrides)
    own = resolver.recipe(overrides)
    if wrong := objective_problem(tune.objective, own.evaluation):
        yield Problem(("tune", "objective"), wrong)
    if (
        not has_validation(own.evaluation.suite, own.evaluation)
        and "without" not in tune.evaluation
    ):
        found = f"the suite {own.evaluation.suite!r} has no validation split to tune on"
        advice = "Name another suite, or leave tasks out with tune.evaluation.without"
        yield Problem(("tune",), f"{found}; {validated_suites()}. {advice}.", at_key=True)
        return
    for values, place in _tried(tune, space):
        # Only what goes with none of these is wrong: pairs that clash become failed trials.
        for others in ({}, *(middle(space, share) for share in (0.0, 0.5, 0.999))):
            error = _unresolved(tune, overrides, {**others, **values}, resolver)
            if error is None:
                break
        else:
            assert error is not None
            if error.path.startswith("evaluation."):
                place = ("tune", "evaluation")
            yield Problem(place, f"{name!r}: {error.path}: {error.message}")
            return
    yield from _rung_problems(tune, name, overrides, resolver)


def _unresolved(
    tune: Tune, overrides: Overrides, values: Values, resolver: Resolver
) -> UnresolvedError | None:
    try:
        trial_recipe(tune, overrides, values, rung_count(tune) - 1, resolver=resolver)
    except UnresolvedError as error:
        return error
    return None


def _tried(tune: Tune, space: Sequence[Dimension]) -> Iterator[tuple[dict[str, object], Place]]:
    """Yield the cell's own values, then each end and choice by itself, with where it stands."""
    yield {}, ("tune",)
    paths = {spelled(path): path for path in tune.search}
    for dimension in space:
        place: Place = ("tune", "search", paths[dimension.path])
        domain = tune.search[paths[dimension.path]]
        if isinstance(domain, Range):
            ends = (("low", dimension.low), ("high", dimension.high))
            shown = [(key, dimension.value(end)) for key, end in ends]
            yield from (({dimension.path: value}, (*place, key)) for key, value in shown)
        else:
            for index, choice in enumerate(dimension.choices):
                yield {dimension.path: choice}, (*place, index)


def _rung_problems(
    tune: Tune, name: str, overrides: Overrides, resolver: Resolver
) -> Iterator[Problem]:
    """Yield rungs that train a cell as another rung does, or longer than the one after them."""
    seen: dict[tuple[object, ...], int] = {}
    after: Recipe | None = None
    for rung in reversed(range(rung_count(tune))):
        place: Place = ("tune", "prune", "rungs", rung)
        try:
            recipe = trial_recipe(tune, overrides, {}, rung, resolver=resolver)
        except UnresolvedError as error:
            yield Problem(place, f"{name!r}: {error.path}: {error.message}")
            continue
        later = seen.setdefault(recipe.identity(), rung)
        if later != rung:
            full = later == rung_count(tune) - 1
            what = "in full" if full else f"as rung {later + 1} does"
            yield Problem(place, f"it trains {name!r} {what}. Make it shorter, or remove it.")
        elif after is not None and (longer := _longer(recipe, after)):
            found = f"it trains {name!r} longer than what comes after it: {longer}"
            yield Problem(place, f"{found}. Write the shortest first, all shorter than in full.")
        after = recipe


def _longer(recipe: Recipe, after: Recipe) -> str:
    """Return the first amount of training that a rung has more of than the next; else nothing."""
    for one, other in zip(recipe.chain, after.chain, strict=True):
        for name in AMOUNTS:
            mine, later = getattr(one, name, None), getattr(other, name, None)
            if mine is not None and later is not None and mine > later:
                return f"{name} {mine} > {later}"
    return ""
