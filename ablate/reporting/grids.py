"""Which cells of a study are a grid that can be analysed as one: levels of the same factors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from ablate.reporting.records import StudyRecord
from ablate.stats.blocks import Levels, followers

STARTING_POINTS = ("base", "sft")


@dataclass(frozen=True)
class Grid:
    """Cells that are told apart by their levels of the same two factors or more."""

    factors: tuple[str, ...]
    """Those that vary, in the order of the study."""
    cells: Mapping[Levels, str]
    """Cell by its levels of `factors`, in the order of the study; there may be holes."""
    held: Mapping[str, str]
    """Levels of further factors, which only some of the cells have, at which they stand."""
    follows: Mapping[str, str]
    """Factors left out because their level follows from another's."""

    @property
    def title(self) -> str:
        """The factors, and what is held."""
        fixed = ", ".join(f"{name} = {level}" for name, level in self.held.items())
        return " × ".join(self.factors) + (f" ({fixed})" if fixed else "")


def grids_of(study: StudyRecord) -> tuple[Grid, ...]:
    """Return the grids of a study: most factors first, then most cells, then its first factors.

    A factor that only some cells use, such as a reward model under PPO, makes grids of its own:
    one of all cells that have it, and for each of its levels one that also holds the cells
    without. Nothing is ever assumed of a combination that does not exist. A ladder has none: its
    rungs add up. Published rows and own cells are never in one grid.
    """
    if study.design == "ladder":
        return ()
    found: list[Grid] = []
    for published in (False, True):
        cells = [cell for cell in study.cells if _has_levels(study, cell, published)]
        signatures: dict[frozenset[str], list[str]] = {}
        for cell in cells:
            signatures.setdefault(frozenset(study.levels_of(cell)), []).append(cell)
        for names, own in signatures.items():
            found += _grid(study, own, [f for f in study.factors if f in names], {})
        if len(signatures) > 1:
            found += _joined(study, list(signatures.items()))
    distinct = {frozenset(grid.cells.values()): grid for grid in reversed(found)}

    def rank(grid: Grid) -> tuple[int, int, list[int]]:
        places = [study.factors.index(name) for name in grid.factors]
        return -len(grid.factors), -len(grid.cells), places

    return tuple(sorted(reversed(distinct.values()), key=rank))


def _has_levels(study: StudyRecord, cell: str, published: bool) -> bool:
    kinds = {run.kind for run in study.runs_of(cell)}
    if not study.levels_of(cell) or kinds & set(STARTING_POINTS):
        return False
    return (kinds == {"imported"}) == published


def _joined(
    study: StudyRecord, signatures: Sequence[tuple[frozenset[str], list[str]]]
) -> Iterator[Grid]:
    """Yield grids over the factors that all cells have, further ones held at one level each."""
    shared = frozenset.intersection(*(names for names, _ in signatures))
    factors = [name for name in study.factors if name in shared]
    settings = []
    for names, cells in signatures:
        extra = [name for name in study.factors if name in names - shared]
        chosen: dict[tuple[str, ...], list[str]] = {}
        for cell in cells:
            levels = study.levels_of(cell)
            chosen.setdefault(tuple(levels[name] for name in extra), []).append(cell)
        settings.append([(dict(zip(extra, key, strict=True)), own) for key, own in chosen.items()])
    for combination in product(*settings):
        held = {name: level for fixed, _ in combination for name, level in fixed.items()}
        cells = [cell for _, own in combination for cell in own]
        yield from _grid(study, cells, factors, held)


def _grid(
    study: StudyRecord, cells: Sequence[str], factors: Sequence[str], held: Mapping[str, str]
) -> Iterator[Grid]:
    """Yield the grid of some cells, or nothing where fewer than two factors vary."""
    ordered = [cell for cell in study.cells if cell in cells]
    levels = [{name: study.levels_of(cell)[name] for name in factors} for cell in ordered]
    follows = followers(levels)
    varying = [
        name for name in factors if len({one[name] for one in levels}) > 1 and name not in follows
    ]
    if len(varying) < 2:
        return
    by_levels: dict[Levels, str] = {}
    for cell, own in zip(ordered, levels, strict=True):
        by_levels.setdefault(tuple(own[name] for name in varying), cell)
    yield Grid(tuple(varying), by_levels, held, follows)
