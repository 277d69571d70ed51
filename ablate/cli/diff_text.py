"""What ``ablate diff`` prints: a comparison of studies or cells as aligned lines of text."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence

from ablate.cli.output import bold
from ablate.reporting import text
from ablate.reporting.artifacts import MetricRow
from ablate.reporting.diff import StudyDiff
from ablate.reporting.diff_cells import CellDiff
from ablate.reporting.diff_config import FieldChange
from ablate.reporting.diff_items import ItemFlip
from ablate.reporting.effect_tables import notes_of
from ablate.reporting.effects import Basis, EffectRow
from ablate.stats.verdicts import Verdict

MOST_LINES = 40
"""That are printed unless all are asked for."""
ROWS, FEW = 16, 6
"""Most rows of a table, and most remarks below one."""
WIDE = 100
"""Characters of a line from which on cells have their full names."""
_FACTOR = re.compile(r"[\w.]+=")
SHORTEST_NAME = 14
"""Characters below which a name is not cut but gets a line of its own."""
ONE_SEED = "* one seed: the interval is over items only and claims these checkpoints only"
DECIDED = (Verdict.BETTER, Verdict.WORSE, Verdict.TRIVIAL, Verdict.EQUIVALENT)


def study_lines(diff: StudyDiff, width: int, *, everything: bool) -> list[str]:
    """Return two studies compared, in lines of at most ``width`` characters."""
    return _within(lambda most: _study_lines(diff, width, most), everything)


def _within(make: Callable[[int], list[str]], everything: bool) -> list[str]:
    """Return as much as `MOST_LINES` hold; ``make`` gets how many rows a table may have."""
    if everything:
        return make(sys.maxsize)
    for most in range(ROWS, 2, -1):
        lines = make(most)
        if len(lines) <= MOST_LINES:
            break
    return lines


def _study_lines(diff: StudyDiff, width: int, most: int) -> list[str]:
    names = _short_names(diff, width)
    few = max(2, most // 2)
    rows = [row for row in diff.effects if row.metric == diff.metric]
    lines = [
        bold(clip(f"A {diff.left}   B {diff.right}", width)),
        *(clip(f"note: {note}", width) for note in diff.notes),
        *wrapped(_about(diff, len(rows)), width),
        "",
    ]
    if rows:
        lines += [*_cells(diff, rows, names, width=width, most=most), ""]
    lines += _where(diff, width)
    lines += listed("other metrics that are decided:", _others(diff, names), width, few)
    changes = [
        f"{names(one.treatment)} against {names(one.control)}: {one.left} → {one.right}"
        for one in diff.verdicts
    ]
    lines += listed("verdicts that differ, each study's own:", changes, width, few)
    title = "declared or configured differently:"
    lines += listed(title, _said(diff.fields, width), width, few)
    stages = [f"{s.stage} {s.same}/{s.same + s.changed}" for s in diff.stages]
    if stages:
        lines += wrapped(f"runs that share the stage's artifact: {', '.join(stages)}", width)
    return lines


def _short_names(diff: StudyDiff, width: int) -> Callable[[str], str]:
    """Return what cells are called: without the names of their factors where lines are short."""
    cells = {name for pair in diff.pairs for name in (pair.left, pair.right, pair.name)}
    short = {name: _FACTOR.sub("", name) for name in cells}
    if width >= WIDE or len(set(short.values())) < len(cells):
        return str
    return lambda name: short.get(name, name)


def _about(diff: StudyDiff, compared: int) -> str:
    metric = diff.metrics.get(diff.metric)
    name = text.label(diff.metric) if metric is None else text.heading(metric)
    if not compared:
        return f"{name}: no cell of both studies differs and has a result on both sides"
    return (
        f"{name}, B − A: items paired, seeds independent; exploratory, p adjusted over "
        f"{compared} (Benjamini-Hochberg)"
    )


def _cells(
    diff: StudyDiff,
    rows: Sequence[EffectRow],
    names: Callable[[str], str],
    *,
    width: int,
    most: int,
) -> list[str]:
    metric = diff.metrics[diff.metric]
    order = list(rows)
    if len(order) > most:
        order = sorted(rows, key=lambda row: row.p_adjusted if row.p_adjusted >= 0 else 2.0)
    named = [(names(row.label), numbers(row, diff.scores[row.label], metric)) for row in order]
    lines = effect_table("cell", named[:most], width)
    if len(order) > most:
        lines.append(f"… and {len(order) - most} more cells, with larger p; --all shows them")
    return [*lines, *_remarks(rows, width)]


def _remarks(rows: Sequence[EffectRow], width: int) -> Iterator[str]:
    if any(row.checkpoint.defined and not row.effect.defined for row in rows):
        yield ONE_SEED
    said: dict[str, list[str]] = {}
    for row in rows:
        for reason in row.invalid:
            said.setdefault(f"✕ no interval: {reason}", []).append(row.label)
        for warning in row.warnings:
            said.setdefault(f"! {warning}", []).append(row.label)
    for line, cells in list(said.items())[:FEW]:
        where = cells[0] if len(cells) == 1 else f"{len(cells)} cells"
        yield clip(f"{line} ({where})", width)
    if len(said) > FEW:
        yield f"! … and {len(said) - FEW} more remarks; --json has them all"


def _where(diff: StudyDiff, width: int) -> list[str]:
    same = [pair.name for pair in diff.pairs if pair.same]
    found = {
        "the same runs in both": same,
        "not finished on both sides": diff.unfinished,
        "only in A": diff.only_left,
        "only in B": diff.only_right,
    }
    return [
        clip(f"{title} ({len(cells)}): {'; '.join(cells)}", width)
        for title, cells in found.items()
        if cells
    ]


def _others(diff: StudyDiff, names: Callable[[str], str]) -> list[str]:
    """Say what else was decided; a metric without a good direction decides nothing."""
    return [
        f"{text.label(row.metric)}, {names(row.label)}: "
        f"{text.effect(row.shown, diff.metrics[row.metric].unit)} "
        f"{verdict_of(row, diff.metrics[row.metric])}"
        for row in sorted(diff.effects, key=lambda row: row.p_adjusted)
        if row.metric != diff.metric and row.verdict in DECIDED
    ]


def cell_lines(diff: CellDiff, width: int, *, everything: bool) -> list[str]:
    """Return two cells compared, in lines of at most ``width`` characters."""
    return _within(lambda most: _cell_lines(diff, width, most), everything)


def _cell_lines(diff: CellDiff, width: int, most: int) -> list[str]:
    lines = [bold(clip(f"A {diff.left}", width)), bold(clip(f"B {diff.right}", width))]
    if diff.same:
        return [*lines, "the same runs: equal fingerprints, so nothing differs"]
    primary = [row for row in diff.effects if row.metric == diff.metric]
    if not diff.effects:
        lines.append("no metric has a score on both sides")
    lines += ["", *_headline(diff, primary, width)] if primary else []
    rest = [row for row in diff.effects if row.metric != diff.metric]
    if rest:
        lines += ["", *_metrics(diff, rest, width, most)]
    lines += _items(diff, width, most)
    lines += _costs(diff, width)
    title = "configured differently:"
    lines += listed(title, _said(diff.fields, width), width, max(2, most // 2))
    return lines


def _headline(diff: CellDiff, rows: Sequence[EffectRow], width: int) -> list[str]:
    row, unit = rows[0], diff.metrics[diff.metric].unit
    left, right = (text.plain(value, unit) for value in diff.scores[diff.metric])
    said = text.difference(row.shown, unit) + star(row)
    lines = wrapped(
        f"{text.label(diff.metric)}: {left} → {right}, B − A {said}: {row.verdict.symbol} "
        f"{row.verdict.value}",
        width,
    )
    kinds = ", ".join(dict.fromkeys(own.kind for own in diff.declared))
    whose = f"adjusted p, as in the study ({kinds})" if kinds else "exploratory; p"
    sizes = f"{row.shown.n_items} items, {row.effect.n_seeds} seeds a side"
    if row.basis is Basis.PUBLISHED:
        sizes = "published numbers, with the errors that the study states"
    details = [f"{whose} {text.p_text(row.p_adjusted)}; {sizes}"]
    if row.detectable > 0:
        details[0] += f"; detectable {text.plain(row.detectable, unit)}"
    details += notes_of(row, diff.margin, unit)
    return [*lines, *(line for note in details[:6] for line in wrapped(f"  {note}", width))]


def _metrics(diff: CellDiff, rows: Sequence[EffectRow], width: int, most: int) -> list[str]:
    named = [
        (_title(diff.metrics[row.metric]), numbers(row, diff.scores[row.metric], metric))
        for row in rows
        for metric in (diff.metrics[row.metric],)
    ]
    lines = effect_table("metric", named[:most], width)
    if len(named) > most:
        lines.append(f"… and {len(named) - most} more metrics; --all shows them")
    if any(row.checkpoint.defined and not row.effect.defined for row in rows):
        lines.append(ONE_SEED)
    lines.append(f"exploratory: p adjusted over these {len(rows)} (Benjamini-Hochberg)")
    return lines


def _title(metric: MetricRow) -> str:
    return text.label(metric.metric) if metric.unit == "percent" else text.heading(metric)


def _items(diff: CellDiff, width: int, most: int) -> list[str]:
    found = diff.items
    if not found.seeds:
        return []
    everything = most > ROWS
    shown = found.seeds if everything else found.seeds[:3]
    rows = [
        (f"seed {one.seed}", [*map(str, (one.only_right, one.only_left, one.equal))])
        for one in shown
    ]
    for (_, fields), one in zip(rows, shown, strict=True):
        fields.append(text.p_text(one.p_value))
    if len(found.seeds) > 1:
        rows.append(("every seed", [str(len(found.gained)), str(len(found.lost)), "", ""]))
    header = ["B higher", "A higher", "equal", "exact p"]
    lines = ["", *aligned("items", header, rows, width)]
    if everything:
        flips = [*map(_flip, found.gained), *map(_flip, found.lost)]
        lines += listed("items that differ under every seed:", flips, width, most)
    return lines


def _flip(one: ItemFlip) -> str:
    return f"{one.task} {one.item}: {one.left:g} → {one.right:g}"


def _costs(diff: CellDiff, width: int) -> list[str]:
    parts = [
        f"{cost.unit.replace('_', ' ')} "
        + (f"× {cost.ratio:.2f}" if not math.isnan(cost.ratio) else f"0 → {cost.right:,.0f}")
        for cost in diff.costs
    ]
    return ["", *wrapped(f"cost, B against A: {', '.join(parts)}", width)] if parts else []


def _said(fields: Sequence[FieldChange], width: int) -> list[str]:
    room = max(16, (width - 40) // 2)

    def place(one: FieldChange) -> str:
        return one.field if one.stage in ("study", "factor") else f"{one.stage}.{one.field}"

    return [
        f"{place(one).rstrip('.')}: {clip(one.left, room)} → {clip(one.right, room)}"
        + (f" ({len(one.cells)} cells)" if len(one.cells) > 1 else "")
        + (f" ({one.cells[0]})" if len(one.cells) == 1 else "")
        for one in fields
    ]


def star(row: EffectRow) -> str:
    """Mark an interval that is over items only."""
    return "*" if row.checkpoint.defined and not row.effect.defined else ""


def numbers(row: EffectRow, scores: tuple[float, float], metric: MetricRow) -> list[str]:
    """Return both scores, the difference with its interval, adjusted p and verdict."""
    left, right = (text.plain(value, metric.unit) for value in scores)
    said = text.effect(row.shown, metric.unit) + star(row)
    return [left, right, said, text.p_text(row.p_adjusted), verdict_of(row, metric)]


def verdict_of(row: EffectRow, metric: MetricRow) -> str:
    """Return the verdict; a metric that has no good direction is only higher or lower."""
    if metric.direction == "none" and row.verdict in (Verdict.BETTER, Verdict.WORSE):
        return "higher" if row.effect.value > 0 else "lower"
    return f"{row.verdict.symbol} {row.verdict.value}"


def effect_table(head: str, rows: Sequence[tuple[str, list[str]]], width: int) -> list[str]:
    """Return differences as an aligned table; verdicts to the left, all else to the right."""
    return aligned(head, ["A", "B", "B − A [95 % CI]", "adj. p", "verdict"], rows, width)


def aligned(
    head: str, header: Sequence[str], rows: Sequence[tuple[str, list[str]]], width: int
) -> list[str]:
    """Return rows with their numbers to the right of their names, or below names that are long."""
    table = [list(header), *(fields for _, fields in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    joined = ["  ".join(_padded(row, widths, header)).rstrip() for row in table]
    names = [head, *(name for name, _ in rows)]
    longest, room = max(map(len, names)), width - max(map(len, joined)) - 2
    short = [clip(name, room) for name in names] if room >= SHORTEST_NAME else names
    if longest <= room or len(set(short)) == len(names) and short != names:
        longest = min(longest, room)
        short = [clip(name, longest) for name in short]
        return [f"{name:<{longest}}  {line}" for name, line in zip(short, joined, strict=True)]
    below = [f"  {head:<{max(0, room - 2)}}  {joined[0]}"[:width] if room > 0 else joined[0]]
    for name, line in zip(names[1:], joined[1:], strict=True):
        below += [clip(name, width), f"{'':<{max(0, room)}}  {line}"]
    return below


def _padded(row: Sequence[str], widths: Sequence[int], header: Sequence[str]) -> Iterator[str]:
    for field, width, title in zip(row, widths, header, strict=True):
        yield field.ljust(width) if title == "verdict" else field.rjust(width)


def listed(title: str, entries: Sequence[str], width: int, most: int) -> list[str]:
    """Return a title and its entries, indented, after an empty line; nothing without entries."""
    if not entries:
        return []
    lines = ["", title, *(clip(f"  {entry}", width) for entry in entries[:most])]
    if len(entries) > most:
        lines.append(f"  … and {len(entries) - most} more; --all shows them")
    return lines


def clip(line: str, width: int) -> str:
    """Return a line of at most ``width`` characters; nothing in it moves the cursor."""
    indent = line[: len(line) - len(line.lstrip(" "))]
    harmless = "".join(letter if letter.isprintable() else " " for letter in line)
    flat = indent + " ".join(harmless.split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"


def wrapped(line: str, width: int) -> list[str]:
    """Return a sentence in lines of at most ``width`` characters, later ones indented."""
    indent = " " * (len(line) - len(line.lstrip(" ")))
    lines, current = [], indent
    for word in line.split():
        if len(current) + len(word) + 1 > width and current.strip():
            lines.append(current)
            current = f"{indent}  "
        current += word if not current.strip() else f" {word}"
    return [clip(one, width) for one in (*lines, current)]
