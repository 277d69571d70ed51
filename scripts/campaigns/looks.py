"""Simulate studies that add seeds at declared looks, and count what they call.

``python scripts/campaigns/looks.py [--studies 2000] [--write]``

The worlds are those of verdicts.py: recipes that answer the same items right or wrong. A study
takes its looks as the report does: verdicts at each look from the seeds of that look, corrected
over the family; what is inconclusive goes on, what is not has stopped. Beside the levels that are
used stand those that were not: no levels at all, and Gaussian spending with credit for correlated
looks. Prints tables; with ``--write`` they also replace results/looks.md. Exits with 1 where the
levels in use call a true null, or an effect as large as the margin equivalent, in more than 5 %
and three standard errors.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from verdicts import CALLED, SEED_SDS, Line, Part, World

from ablate.stats.crossed import Arm, crossed_difference, matched_difference
from ablate.stats.estimate import Estimate, FloatArray
from ablate.stats.multiplicity import adjust
from ablate.stats.power import planned_components
from ablate.stats.quantiles import t_two_sided
from ablate.stats.sequential import Looks, Spend, gaussian_levels, obrien_fleming, pocock
from ablate.stats.verdicts import decide, equivalence_p

RESULTS = Path(__file__).parent / "results" / "looks.md"
COUNTS = ((3, 5, 8), (3, 4, 5, 6, 7, 8), (2, 4, 8))
SPENDS: tuple[Spend, ...] = ("even", "obrien-fleming")
MOST = COUNTS[0]
ITEMS = (500,)
ALPHA = 0.05
Difference = Callable[[Arm, Arm], Estimate]
Levels = Sequence[float]


def most(studies: int) -> float:
    """Return the share called beyond which a promise is broken: alpha and three errors."""
    return ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / studies)


def gaussian(counts: Sequence[int], spend: Callable[[float, float], float]) -> Levels:
    """Return two-sided levels that give credit for correlated looks."""
    fractions = [count / counts[-1] for count in counts]
    return [2 * level for level in gaussian_levels(ALPHA / 2, fractions, spend)]


@lru_cache
def every_level(counts: tuple[int, ...]) -> dict[str, Levels]:
    """Return levels by name: those in use, then those that are not."""
    return {
        **{spend: Looks(counts, spend).levels(ALPHA) for spend in SPENDS},
        "none": [ALPHA] * len(counts),
        "Gaussian, Pocock": gaussian(counts, pocock),
        "Gaussian, O'Brien-Fleming": gaussian(counts, obrien_fleming),
    }


def t_p_values(
    rng: np.random.Generator, counts: Sequence[int], studies: int, *, sides: int
) -> FloatArray:
    """Return (looks, studies) p-values of normal seeds without items: one side, or Welch's two."""
    draws = rng.normal(size=(sides, studies, counts[-1]))
    found = []
    for count in counts:
        part = draws[..., :count]
        variances = part.var(-1, ddof=1) / count
        means = part.mean(-1)
        value = means[0] - (means[1] if sides > 1 else 0.0)
        total = variances.sum(0)
        degrees = total**2 / (variances**2 / (count - 1)).sum(0)
        t = value / np.sqrt(total)
        found.append([t_two_sided(float(a), float(b)) for a, b in zip(t, degrees, strict=True)])
    return np.array(found)


def plain(studies: int) -> Iterator[Line]:
    """Seeds alone: what levels call when the statistics are exact Student t."""
    for sides, name in ((1, "one side varies, or matched seeds"), (2, "Welch, both sides vary")):
        for counts in COUNTS:
            rng = np.random.default_rng([sides, *counts])
            p_values = t_p_values(rng, counts, 10 * studies, sides=sides)
            rates = [
                float((p_values < np.array(levels)[:, None]).any(0).mean())
                for levels in every_level(counts).values()
            ]
            kept = max(rates[: len(SPENDS)]) <= most(10 * studies)
            yield Line((name, _counts(counts), *map(_share, rates)), kept)


def at(arm: Arm, count: int) -> Arm:
    """Return an arm with its first seeds."""
    return Arm({name: rows[:count] for name, rows in arm.strata.items()}, arm.weights)


@dataclass(frozen=True)
class Setting:
    """A world and how its differences are made."""

    name: str
    seed_sd: float
    common_sd: float = 0.0
    one_control: bool = False
    items: tuple[int, ...] = ITEMS
    difference: Difference = crossed_difference

    @property
    def world(self) -> World:
        """The world."""
        return World(self.items, self.seed_sd, self.common_sd, self.one_control)


SETTINGS = (
    *(Setting(f"seeds of their own, SD {sd}", sd) for sd in SEED_SDS),
    Setting("six categories, SD 0.1355", SEED_SDS[2], items=(84,) * 6),
    Setting("control of one checkpoint", SEED_SDS[2], one_control=True),
    Setting("the same, 4,000 items", SEED_SDS[2], one_control=True, items=(4000,)),
    Setting("matched seeds", SEED_SDS[1], common_sd=SEED_SDS[2], difference=matched_difference),
)


def crossed(studies: int) -> Iterator[Line]:
    """A/A: what one comparison of two recipes alike calls at any look."""
    for setting in SETTINGS:
        runs = studies if sum(setting.items) < 1000 else studies // 4
        for counts in COUNTS[:2] if setting.items == ITEMS else COUNTS[:1]:
            rng = np.random.default_rng([7, round(1e4 * setting.seed_sd), *counts])
            hits = dict.fromkeys(every_level(counts), 0)
            for _ in range(runs):
                control, treatment = setting.world.study(rng, counts[-1])
                p_values = [
                    setting.difference(at(treatment, n), at(control, n)).p_value for n in counts
                ]
                for name, levels in every_level(counts).items():
                    hits[name] += any(p < a for p, a in zip(p_values, levels, strict=True))
            rates = [count / runs for count in hits.values()]
            kept = max(rates[: len(SPENDS)]) <= most(runs)
            yield Line((setting.name, _counts(counts), *map(_share, rates)), kept)


@dataclass
class Course:
    """How the comparisons of one study ended."""

    called: int
    equivalent: int
    seeds: float
    """Seeds a side at which its comparisons ended, on average."""


def course(effects: Sequence[Mapping[int, Estimate]], looks: Looks, *, margin: float) -> Course:
    """Take a study's looks as the report does; ``effects`` are by comparison and seeds."""
    going = list(range(len(effects)))
    last = [by_count[looks.counts[0]] for by_count in effects]
    for number, count in enumerate(looks.counts, 1):
        for index in going:
            last[index] = effects[index][count].at(looks.at(number))
        adjusted = adjust([effect.p_value for effect in last], "holm")
        verdicts = [
            decide(effect, p, margin=margin) for effect, p in zip(last, adjusted, strict=True)
        ]
        going = [index for index in going if verdicts[index] == "inconclusive"]
        if not going:
            break
    called = sum(verdict in CALLED for verdict in verdicts)
    equivalent = sum(equivalence_p(effect, margin) < ALPHA for effect in last)
    return Course(called, equivalent, float(np.mean([effect.n_seeds for effect in last])))


def drawn(
    world: World, key: Sequence[int], studies: int, *, shift: float = 0.0, treatments: int = 1
) -> Iterator[list[dict[int, Estimate]]]:
    """Yield the differences of simulated studies, by comparison and seeds."""
    rng = np.random.default_rng(key)
    for _ in range(studies):
        control, *arms = world.study(rng, MOST[-1], shift=shift, treatments=treatments)
        yield [{n: crossed_difference(at(arm, n), at(control, n)) for n in MOST} for arm in arms]


def families(studies: int) -> Iterator[Line]:
    """Four recipes against one control, all alike, under Holm: any difference called."""
    for seed_sd in SEED_SDS:
        world = World(ITEMS, seed_sd)
        settings = [(spend, margin) for spend in SPENDS for margin in (1.0, 6.0)]
        ends: list[list[Course]] = [[] for _ in settings]
        for effects in drawn(world, [8, round(1e4 * seed_sd)], studies, treatments=4):
            for (spend, margin), found in zip(settings, ends, strict=True):
                found.append(course(effects, Looks(MOST, spend), margin=margin))
        for (spend, margin), found in zip(settings, ends, strict=True):
            rate = sum(end.called > 0 for end in found) / studies
            seeds = float(np.mean([end.seeds for end in found]))
            cells = (spend, f"{world.truth.seed_sd:.1f}", f"{margin:g}", _share(rate))
            yield Line((*cells, f"{seeds:.1f}"), rate <= most(studies))


def equivalence(studies: int) -> Iterator[Line]:
    """A difference as large as the margin is called equivalent at any look; none should be."""
    for seed_sd in SEED_SDS:
        world = World(ITEMS, seed_sd)
        margin = 3 * planned_components(world.items, MOST[-1], world.truth).error
        rates: dict[Spend, list[float]] = {spend: [] for spend in SPENDS}
        for points in (margin, 0.0):
            shift = world.shift(points) if points else 0.0
            hits = dict.fromkeys(SPENDS, 0)
            for effects in drawn(world, [9, round(1e4 * seed_sd)], studies, shift=shift):
                for spend in SPENDS:
                    hits[spend] += course(effects, Looks(MOST, spend), margin=margin).equivalent
            for spend in SPENDS:
                rates[spend].append(hits[spend] / studies)
        for spend in SPENDS:
            shown = map(_share, rates[spend])
            cells = (spend, f"{world.truth.seed_sd:.1f}", f"{margin:.1f}", *shown)
            yield Line(cells, rates[spend][0] <= most(studies))


def gain(studies: int) -> Iterator[Line]:
    """What looks save: seeds of a comparison and how often a difference is found."""
    world = World(ITEMS, SEED_SDS[1])
    for points in (0.0, 3.0, 5.0, 8.0):
        shift = world.shift(points) if points else 0.0
        ends: dict[Spend, list[Course]] = {spend: [] for spend in SPENDS}
        fixed = dict.fromkeys((MOST[0], MOST[-1]), 0)
        for effects in drawn(world, [10, round(points)], studies, shift=shift):
            for spend in SPENDS:
                ends[spend].append(course(effects, Looks(MOST, spend), margin=1.0))
            for count in fixed:
                fixed[count] += effects[0][count].p_value < ALPHA
        cells = [f"{points:g}"]
        for found in ends.values():
            cells.append(_share(sum(end.called for end in found) / studies))
            cells.append(f"{np.mean([end.seeds for end in found]):.1f}")
        yield Line((*cells, *(_share(count / studies) for count in fixed.values())))


LEVEL_HEADS = ("looks, seeds", *every_level(COUNTS[0]))
PARTS = (
    Part("Seeds without items: a true null called, by levels", ("statistic", *LEVEL_HEADS), plain),
    Part("Items and seeds: a true null called, by levels", ("world", *LEVEL_HEADS), crossed),
    Part(
        "Four recipes against one control at 3, 5, 8 seeds: any called under the null, Holm",
        ("spend", "seed SD", "margin", "called", "seeds a comparison"),
        families,
    ),
    Part(
        "Equivalent at any look of 3, 5, 8 seeds",
        ("spend", "seed SD", "margin", "true difference = margin", "no difference"),
        equivalence,
    ),
    Part(
        "A difference found, and seeds a side that it took (looks at 3, 5, 8; seed SD 0.8)",
        (
            *("points", "even: found", "seeds", "O'Brien-Fleming: found", "seeds"),
            *("3 seeds, no looks", "8 seeds, no looks"),
        ),
        gain,
    ),
)


def _counts(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))


def _share(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def page(studies: int) -> tuple[str, bool]:
    """Return all tables as Markdown, and whether every promise was kept."""
    kept = True
    text = [
        "# What studies call that add seeds at declared looks",
        f"`python scripts/campaigns/looks.py --studies {studies} --write`: two-sided alpha 0.05,"
        " points of accuracy. `even` and `obrien-fleming` are what a study can declare; the other"
        " levels are not used. A line where those in use call more than 5 % and three standard"
        " errors is marked ✗.",
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
