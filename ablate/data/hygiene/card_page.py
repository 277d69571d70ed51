"""A data card as Markdown and as text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence

from ablate.data.hygiene.card import Card, Lengths
from ablate.data.hygiene.check import Check
from ablate.data.hygiene.harmless import harmless, markdown

_EXAMPLE = 600
_NAME = 80
_FOUND = 400
_LISTED = 20
"""Names of one kind that are written out; the rest is counted."""
_SHOWN_ROWS = 6
_LENGTHS = ("part", "texts", "unit", "mean", "median", "95 %", "longest")
_STEPS = ("step", "before", "after", "changed")
_INDENT = "  "

Safe = Callable[[str, int], str]


def card_markdown(card: Card) -> str:
    """Return the card as a section of Markdown, its heading of the third level."""
    lines = [f"### {markdown(card.name, _NAME)}", ""]
    lines += [f"- {line}" for line in _counts(card, markdown)]
    if card.filters:
        lines += ["", *_table(_STEPS, _steps(card, markdown))]
    if card.lengths:
        lines += ["", *_table(_LENGTHS, _length_rows(card.lengths, markdown))]
    lines += ["", *_table(("check", "status", "found"), _check_rows(card.checks, markdown))]
    if card.example:
        lines += ["", "The first row:", ""]
        for said in card.example:
            text = markdown(said.text, _EXAMPLE, characters=said.characters)
            lines.append(f"- {said.part}: {text}")
    return "\n".join(lines) + "\n"


def card_text(card: Card, width: int = 100) -> str:
    """Return the card for a terminal: no line is longer than ``width``, nothing moves the cursor.

    Fullwidth characters count as one, so a line of them is twice as wide.
    """
    lines = [harmless(card.name, _NAME)[:width]]
    for line in _counts(card, harmless):
        lines += _wrapped(line, width)
    if card.filters:
        lines += ["", "steps", *_columns((_STEPS, *_steps(card, harmless)), width)]
    if card.lengths:
        rows = _length_rows(card.lengths, harmless)
        lines += ["", "lengths", *_columns((_LENGTHS, *rows), width)]
    lines += ["", "checks"]
    for check in card.checks:
        lines += _wrapped(f"{check.status.upper():5}{check.name}: {_found(check, harmless)}", width)
    if card.example:
        lines += ["", "first row"]
        for said in card.example:
            text = harmless(said.text, _EXAMPLE, characters=said.characters)
            lines += _wrapped(f"{said.part}: {text}", width)
    return "\n".join(lines) + "\n"


def _counts(card: Card, safe: Safe) -> list[str]:
    left_out = sum(card.dropped.values())
    lines = [f"rows: {card.rows:,} used, {left_out:,} left out"]
    if card.dropped:
        lines.append(f"left out: {_listed(card.dropped, safe)}")
    if card.holds:
        lines.append(f"holds: {_listed(card.holds, safe)}")
    if set(card.sources) - {"", card.name}:
        lines.append(f"sources: {_listed(card.sources, safe)}")
    return lines


def _listed(counts: Mapping[str, int], safe: Safe) -> str:
    shown = [f"{safe(name, _NAME) or '(none)'} {n:,}" for name, n in counts.items()]
    more = [f"and {len(shown) - _LISTED:,} more"] if len(shown) > _LISTED else []
    return ", ".join(shown[:_LISTED] + more)


def _steps(card: Card, safe: Safe) -> list[list[str]]:
    return [
        [safe(c.step, _NAME), f"{c.before:,}", f"{c.after:,}", f"{c.changed:,}"]
        for c in card.filters
    ]


def _length_rows(lengths: Iterable[Lengths], safe: Safe) -> list[list[str]]:
    rows = []
    for part in lengths:
        for unit, spread in (("words", part.words), ("characters", part.characters)):
            numbers = (spread.mean, spread.median, spread.p95, spread.max)
            shown = [_rounded(number) for number in numbers]
            rows.append([safe(part.part, _NAME), f"{part.texts:,}", unit, *shown])
    return rows


def _rounded(number: float) -> str:
    if math.isnan(number):
        return "n/a"
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.1f}"


def _check_rows(checks: Iterable[Check], safe: Safe) -> list[list[str]]:
    return [[safe(c.name, _NAME), c.status, _found(c, safe)] for c in checks]


def _found(check: Check, safe: Safe) -> str:
    found = safe(check.found, _FOUND)
    if not check.rows:
        return found
    shown = ", ".join(safe(row, _NAME) for row in check.rows[:_SHOWN_ROWS])
    return f"{found} [{shown}{', ...' if len(check.rows) > _SHOWN_ROWS else ''}]"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *["---"] * (len(header) - 1)]
    return ["| " + " | ".join(fields) + " |" for fields in (header, rule, *rows)]


def _columns(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return rows in columns, the first to the left and the others to the right, cut to width."""
    widths = [max(len(field) for field in column) for column in zip(*rows, strict=True)]
    lines = []
    for first, *rest in rows:
        fields = [first.ljust(widths[0])]
        fields += [f.rjust(w) for f, w in zip(rest, widths[1:], strict=True)]
        lines.append((_INDENT + _INDENT.join(fields))[:width])
    return lines


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(
        line, width, initial_indent=_INDENT, subsequent_indent=3 * _INDENT, break_on_hyphens=False
    )
