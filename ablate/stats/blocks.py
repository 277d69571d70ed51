"""The largest part of a grid in which every combination of levels is there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import product

Levels = tuple[str, ...]
"""One cell: its level of each factor, factors in a fixed order."""


def complete_block(cells: Collection[Levels]) -> tuple[tuple[str, ...], ...]:
    """Return for each factor the levels of a block without holes, in order of first use.

    While combinations are missing, the level with the largest share of missing ones goes, and of
    equal shares the one that takes the fewest cells along. A model of what is left invents no
    cell. A factor may be left with one level, or with none where there are no cells.
    """
    there = dict.fromkeys(cells)
    if not there:
        return ()
    levels = [list(dict.fromkeys(column)) for column in zip(*there, strict=True)]
    while True:
        kept = [cell for cell in there if _inside(cell, levels)]
        missing = [cell for cell in product(*levels) if cell not in there]
        if not missing:
            return tuple(tuple(names) for names in levels)
        factor, level = max(
            ((place, name) for place, names in enumerate(levels) for name in names),
            key=lambda at: (_share(missing, kept, *at), -_count(kept, *at)),
        )
        levels[factor].remove(level)


def _inside(cell: Levels, levels: Sequence[Sequence[str]]) -> bool:
    return all(name in names for name, names in zip(cell, levels, strict=True))


def _count(cells: Sequence[Levels], place: int, name: str) -> int:
    return sum(cell[place] == name for cell in cells)


def _share(missing: Sequence[Levels], kept: Sequence[Levels], place: int, name: str) -> float:
    holes = _count(missing, place, name)
    return holes / (holes + _count(kept, place, name))


def followers(cells: Collection[Mapping[str, str]]) -> dict[str, str]:
    """Return the factors whose level follows from another's, each with that other factor.

    Of two factors that follow from each other the first one leads. A factor with one level follows
    from none: it does not vary.
    """
    names = list(dict.fromkeys(name for cell in cells for name in cell))
    varying = [name for name in names if len({cell[name] for cell in cells}) > 1]
    found: dict[str, str] = {}
    for name in varying:
        for leader in varying:
            if leader == name or leader in found:
                continue
            pairs = {(cell[leader], cell[name]) for cell in cells}
            one_way = len(pairs) == len({cell[leader] for cell in cells})
            both_ways = one_way and len(pairs) == len({cell[name] for cell in cells})
            if one_way and not (both_ways and varying.index(name) < varying.index(leader)):
                found[name] = leader
                break
    return found
