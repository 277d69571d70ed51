"""Simulate studies whose truth is known and count what the report would say of them.

``python scripts/campaigns/verdicts.py [--studies 2000] [--write]``

Two recipes answer the same items, right or wrong; the log-odds of an answer are the item's
difficulty (SD 2) + what the recipe makes of the item (SD 0.6) + what the training seed makes of all
items. Every study goes through the functions that the report uses: difference, correction, verdict.
Prints tables; with ``--write`` they also replace results/verdicts.md. Exits with 1 where a true
null is called a difference in more than 6 % of contrasts, or a difference of the stated detectable
size is found in less than 75 %.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ablate.stats.borrowed import borrowed_difference, pooled_overlap, pooled_seed_sd
from ablate.stats.crossed import Arm, crossed_difference, matched_difference
from ablate.stats.estimate import Estimate, FloatArray
from ablate.stats.multiplicity import adjust
from ablate.stats.paired import checkpoint_difference, tipping_seed_sd
from ablate.stats.power import Assumptions, detectable_effect, planned_components, planned_effect
from ablate.stats.simultaneous import max_t
from ablate.stats.verdicts import Verdict, decide, equivalence_p

RESULTS = Path(__file__).parent / "results" / "verdicts.md"
ITEM_SD, RECIPE_SD = 2.0, 0.6
SEED_SDS = (0.0, 0.054, 0.1355)
"""Log-odds; about 0, 0.8 and 2 points of accuracy."""
SEEDS = (2, 3, 5, 10)
LAYOUTS = {"500 items": (500,), "six categories of 84": (84,) * 6}
MARGIN = 1.0
CALLED = {Verdict.BETTER, Verdict.WORSE, Verdict.TRIVIAL}
MOST_FALSE, LEAST_FOUND = 0.06, 0.75

Difference = Callable[[Arm, Arm], Estimate]


@dataclass(frozen=True)
class World:
    """How answers come about, and what follows from it exactly."""

    items: tuple[int, ...]
    """Of each category."""
    seed_sd: float
    """Log-odds."""
    common_sd: float = 0.0
    """Of a second seed effect that both recipes share, seed by seed."""
    one_control: bool = False
    """Whether the control is one checkpoint, without luck, that answers alike for every seed."""

    @property
    def truth(self) -> Assumptions:
        """The components of a difference in points, where both recipes have seeds of their own."""
        return components(self.seed_sd)

    def shift(self, points: float) -> float:
        """Return the log-odds that raise a recipe's accuracy by ``points``."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        spread = math.sqrt(ITEM_SD**2 + RECIPE_SD**2 + self.seed_sd**2 + self.common_sd**2)
        weights = weights / weights.sum()
        low, high = 0.0, 6.0
        for _ in range(50):
            middle = (low + high) / 2
            reached = 100 * float(weights @ _sigmoid(middle + spread * nodes)) - 50 < points
            low, high = (middle, high) if reached else (low, middle)
        return low

    def study(
        self, rng: np.random.Generator, seeds: int, *, shift: float = 0.0, treatments: int = 1
    ) -> list[Arm]:
        """Return the control and treatments that are better by ``shift``."""
        difficulty = rng.normal(0, ITEM_SD, sum(self.items))
        common = rng.normal(0, self.common_sd, (seeds, 1))
        arms = [self._arm(rng, difficulty + common + shift) for _ in range(treatments)]
        if self.one_control:
            control = World(self.items, 0.0)._arm(rng, difficulty[None, :], copies=seeds)
        else:
            control = self._arm(rng, difficulty + common)
        return [control, *arms]

    def _arm(self, rng: np.random.Generator, level: FloatArray, *, copies: int = 1) -> Arm:
        seeds, items = level.shape
        odds = level + rng.normal(0, RECIPE_SD, items) + rng.normal(0, self.seed_sd, (seeds, 1))
        answers = 100.0 * (rng.random((seeds, items)) < _sigmoid(odds))
        answers = np.repeat(answers, copies, axis=0)
        edges = np.cumsum(self.items)[:-1]
        strata = {str(index): part for index, part in enumerate(np.split(answers, edges, axis=1))}
        return Arm(strata, dict.fromkeys(strata, 1 / len(strata)))


@lru_cache
def components(seed_sd: float) -> Assumptions:
    """Return discordance, its stable share and the seed SD in points, integrated over seeds."""
    rng = np.random.default_rng(0)
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    weights = weights / weights.sum()
    item = rng.normal(0, ITEM_SD, 200_000)
    right = [
        _sigmoid(item + rng.normal(0, RECIPE_SD, len(item)) + seed_sd * nodes[:, None])
        for _ in range(2)
    ]
    recipe = [weights @ side for side in right]
    level = right[0].mean(axis=1)
    points = 100 * math.sqrt(float(weights @ (level - weights @ level) ** 2))
    stable = float(np.var(recipe[0] - recipe[1]))
    luck = float(np.mean(recipe[0] * (1 - recipe[0]))) - (points / 100) ** 2
    discordance = stable + 2 * luck
    return Assumptions(discordance, points, stable_share=stable / discordance)


def _sigmoid(odds: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-odds)), np.float64)


@dataclass
class Tally:
    """Counts over studies of one setting."""

    truth: float
    studies: int = 0
    called: int = 0
    covered: int = 0

    def add(self, effect: Estimate) -> None:
        """Count one difference as the report would give it: a family of one."""
        (p_value,) = adjust([effect.p_value], "holm")
        self.studies += 1
        self.called += decide(effect, p_value, margin=MARGIN) in CALLED
        self.covered += effect.low <= self.truth <= effect.high

    @property
    def rates(self) -> tuple[float, float]:
        """Shares of studies with a difference called, and with the truth in the interval."""
        return self.called / self.studies, self.covered / self.studies


def tallied(
    world: World, seeds: int, studies: int, *, points: float, difference: Difference
) -> Tally:
    """Return the counts of studies whose true difference is ``points``."""
    rng = np.random.default_rng([seeds, round(10_000 * world.seed_sd), len(world.items), studies])
    tally, shift = Tally(points), world.shift(points) if points else 0.0
    for _ in range(studies):
        control, treatment = world.study(rng, seeds, shift=shift)
        tally.add(difference(treatment, control))
    return tally


@dataclass(frozen=True)
class Line:
    """One line of a table, and whether it keeps the promise."""

    cells: tuple[str, ...]
    kept: bool = True


def crossed(studies: int) -> Iterator[Line]:
    """Crossed intervals: A/A studies, and studies of the stated detectable difference."""
    for layout, items in LAYOUTS.items():
        for seed_sd in SEED_SDS:
            world = World(items, seed_sd)
            for seeds in SEEDS:
                yield crossed_line(world, seeds, studies, name=layout)


def crossed_line(world: World, seeds: int, studies: int, *, name: str) -> Line:
    """Return rates under the null and at the detectable difference of a design."""
    stated = planned_effect(world.items, seeds, assumptions=world.truth)
    null = tallied(world, seeds, studies, points=0.0, difference=crossed_difference)
    found = tallied(world, seeds, studies, points=stated, difference=crossed_difference)
    cells = (name, f"{world.truth.seed_sd:.1f}", str(seeds), _share(null.rates[0]))
    more = (f"{stated:.1f}", _share(found.rates[0]), _share(null.rates[1]), _share(found.rates[1]))
    kept = null.rates[0] <= MOST_FALSE and found.rates[0] >= LEAST_FOUND
    return Line((*cells, *more), kept)


def known_spread(studies: int) -> Iterator[Line]:
    """The detectable difference that holds if spread and degrees were known: before the change."""
    for seed_sd in SEED_SDS:
        world = World(LAYOUTS["500 items"], seed_sd)
        for seeds in SEEDS:
            parts = planned_components(world.items, seeds, world.truth)
            own = 2 * world.truth.seed_sd**2 / seeds
            item = parts.item**2 / parts.item_degrees
            degrees = parts.error**4 / (item + own**2 / parts.seed_degrees)
            naive = detectable_effect(parts.error, degrees)
            found = tallied(world, seeds, studies, points=naive, difference=crossed_difference)
            cells = (f"{world.truth.seed_sd:.1f}", str(seeds), f"{naive:.1f}")
            yield Line((*cells, _share(found.rates[0])))


def matched(studies: int) -> Iterator[Line]:
    """Seeds that move both recipes alike, by 2 points, and each by its own."""
    for seed_sd in SEED_SDS[:2]:
        world = World(LAYOUTS["500 items"], seed_sd, common_sd=SEED_SDS[2])
        for seeds in (2, 3, 5):
            for name, difference in (
                ("crossed", crossed_difference),
                ("matched", matched_difference),
            ):
                null = tallied(world, seeds, studies, points=0.0, difference=difference)
                five = tallied(world, seeds, studies, points=5.0, difference=difference)
                cells = (f"{world.truth.seed_sd:.1f}", str(seeds), name, _share(null.rates[0]))
                kept = null.rates[0] <= MOST_FALSE
                yield Line((*cells, _share(five.rates[0]), _share(null.rates[1])), kept)


def shared(studies: int) -> Iterator[Line]:
    """A control that is one checkpoint, as a base model that all seeds share."""
    for seed_sd in SEED_SDS:
        world = World(LAYOUTS["500 items"], seed_sd, one_control=True)
        for seeds in (2, 3, 5):
            null = tallied(world, seeds, studies, points=0.0, difference=crossed_difference)
            cells = (f"{world.truth.seed_sd:.1f}", str(seeds), *map(_share, null.rates))
            yield Line(cells, null.rates[0] <= MOST_FALSE)


def one_seed(studies: int) -> Iterator[Line]:
    """One seed a cell: items only, with the tipping point, and with a borrowed spread."""
    for layout, items in LAYOUTS.items():
        for seed_sd in SEED_SDS:
            world = World(items, seed_sd)
            known = world.truth.seed_sd
            rng = np.random.default_rng([1, len(items), round(10_000 * seed_sd)])
            plain, declared, pooled, once = (Tally(0.0) for _ in range(4))
            tipped = recipes = 0
            for _ in range(studies):
                control, treatment = arms = world.study(rng, 1)
                difference = checkpoint_difference(treatment, control)
                plain.add(difference)
                recipe = crossed_difference(treatment, control)
                recipes += decide(recipe, recipe.p_value, margin=MARGIN) in CALLED
                tipped += tipping_seed_sd(difference) > known
                declared.add(borrowed_difference(*arms, seed_sd=known, degrees=math.inf))
                anchors = world.study(rng, 3, treatments=2)
                sd, degrees = pooled_seed_sd([list(arm.seed_scores) for arm in anchors])
                pooled.add(borrowed_difference(*arms, seed_sd=sd, degrees=degrees))
                both = pooled_overlap(anchors)
                once.add(borrowed_difference(*arms, seed_sd=sd, degrees=degrees, overlap=both))
            rates = [plain.rates[0], tipped / studies]
            rates += [tally.rates[0] for tally in (declared, pooled, once)]
            cells = (layout, f"{known:.1f}", *map(_share, rates), _share(once.rates[1]))
            yield Line(cells, recipes == 0 and max(rates[1:]) <= MOST_FALSE)


def families(studies: int) -> Iterator[Line]:
    """Four treatments and a control, all alike: how often any difference is called."""
    for seeds in (1, 3):
        for seed_sd in SEED_SDS if seeds > 1 else SEED_SDS[:1]:
            world = World(LAYOUTS["500 items"], seed_sd)
            rng = np.random.default_rng([4, seeds, round(10_000 * seed_sd)])
            difference = crossed_difference if seeds > 1 else checkpoint_difference
            any_called = np.zeros(3)
            for study in range(studies):
                control, *arms = world.study(rng, seeds, treatments=4)
                p = [difference(arm, control).p_value for arm in arms]
                stepped = max_t(arms, control, p_values=p, draws=1000, seed=study)
                any_called += [min(p) < 0.05, min(adjust(p, "holm")) < 0.05, min(stepped) < 0.05]
            rates = any_called / studies
            cells = (f"{world.truth.seed_sd:.1f}", str(seeds), *map(_share, rates))
            yield Line(cells, max(rates[1:]) <= MOST_FALSE)


def equivalence(studies: int) -> Iterator[Line]:
    """A difference as large as the margin must not be called equivalent; none at all should."""
    for seed_sd in SEED_SDS:
        world = World(LAYOUTS["500 items"], seed_sd)
        for seeds in (2, 3, 5, 10):
            margin = 3 * planned_components(world.items, seeds, world.truth).error
            rates = []
            for points in (margin, 0.0):
                rng = np.random.default_rng([5, seeds, round(10_000 * seed_sd)])
                shift = world.shift(points) if points else 0.0
                called = 0
                for _ in range(studies):
                    control, treatment = world.study(rng, seeds, shift=shift)
                    called += equivalence_p(crossed_difference(treatment, control), margin) < 0.05
                rates.append(called / studies)
            cells = (f"{world.truth.seed_sd:.1f}", str(seeds), f"{margin:.1f}")
            yield Line((*cells, *map(_share, rates)), rates[0] <= MOST_FALSE)


@dataclass(frozen=True)
class Part:
    """One table of the campaign."""

    title: str
    heads: tuple[str, ...]
    lines: Callable[[int], Iterator[Line]]


PARTS = (
    Part(
        "Crossed intervals, seeds of their own in both recipes",
        (
            *("suite", "seed SD", "seeds", "called, null", "detectable", "found"),
            *("coverage, null", "coverage, detectable"),
        ),
        crossed,
    ),
    Part(
        "The detectable difference if spread and degrees were known (not used)",
        ("seed SD", "seeds", "points", "found"),
        known_spread,
    ),
    Part(
        "Seeds that move both recipes alike by about 2 points",
        ("own seed SD", "seeds", "interval", "called, null", "found, 5 points", "coverage"),
        matched,
    ),
    Part(
        "A control of one checkpoint that all seeds share",
        ("seed SD", "seeds", "called, null", "coverage"),
        shared,
    ),
    Part(
        "One seed a recipe: differences called under the null",
        (
            *("suite", "seed SD", "items only", "tipping SD above the true one"),
            *("declared SD", "SD of 3 cells of 3 seeds", "the same, items counted once"),
            "coverage of the last",
        ),
        one_seed,
    ),
    Part(
        "Four recipes against one control: any difference called under the null",
        ("seed SD", "seeds", "none", "Holm", "max-t"),
        families,
    ),
    Part(
        "Equivalent: the difference lies inside the margin",
        ("seed SD", "seeds", "margin", "true difference = margin", "no difference"),
        equivalence,
    ),
)


def _share(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def page(studies: int) -> tuple[str, bool]:
    """Return all tables as Markdown, and whether every promise was kept."""
    kept = True
    text = [
        "# What the verdicts say of studies whose truth is known",
        f"`python scripts/campaigns/verdicts.py --studies {studies} --write`: {studies} studies a"
        " line, two-sided alpha 0.05, points of accuracy. A line that breaks a promise (a null"
        " called in more than 6 %, a detectable difference found in less than 75 %) is marked ✗.",
    ]
    for part in PARTS:
        rows = [f"| {' | '.join(part.heads)} |", "| --- " * len(part.heads) + "|"]
        for line in part.lines(studies):
            kept &= line.kept
            rows.append(f"| {' | '.join(line.cells)} |{'' if line.kept else ' ✗'}")
            print(rows[-1], flush=True)
        text += [f"## {part.title}", "\n".join(rows)]
    return "\n\n".join(text) + "\n", kept


def main() -> int:
    """Run everything; return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    text, kept = page(chosen.studies)
    if chosen.write:
        RESULTS.write_text(text, encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
