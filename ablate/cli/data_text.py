"""What ``ablate data`` prints about data sets, for people and for programs."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple
from textwrap import wrap
from typing import Any

from ablate.cli.data_against import Compared
from ablate.cli.data_list import fitted
from ablate.cli.data_looked import Looked
from ablate.cli.output import bold, table
from ablate.data.hygiene.card import Card
from ablate.data.hygiene.check import Check
from ablate.data.hygiene.exposure import Exposure
from ablate.data.hygiene.exposure_page import strongest
from ablate.data.hygiene.harmless import harmless
from ablate.data.records import Demonstration, Judged, Messages
from ablate.data.shaping.items import Item, leading, prompt_of
from ablate.data.survey import Column, Lengths, Named, Survey, row_list

EXCERPT = 240
"""Characters of a text that are shown."""
NAME = 60
MOST_REPEATS = 8
MOST_COLUMNS = 40
"""More columns than this are counted and not listed."""


def width() -> int:
    """Return the columns of the terminal; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def show(looked: Sequence[Looked], table_: Compared | None, *, examples: int) -> None:
    """Print what is known of the data sets, then what they hold of others."""
    for place, one in enumerate(looked):
        if place:
            print()
        for line in lines(one):
            print(line)
    if table_ is not None:
        print()
        for line in against_lines(table_, examples=examples):
            print(line)


def lines(one: Looked) -> Iterator[str]:
    """Yield what is known of one data set."""
    found, survey = one.found, one.found.survey
    yield bold(harmless(one.named.name, 200))
    yield from wrapped(_head(one))
    yield from _counts(one)
    if survey is not None:
        yield from _repeats(survey)
        yield from (line for note in survey.notes() for line in wrapped(note))
    yield from _shaped(one)
    if survey is not None and survey.columns:
        yield ""
        yield _columns(survey, lengths=one.card is None)
    if one.card is not None:
        yield from _card(one.card)
    if one.left_out:
        yield from ("", "left out", *one.left_out)
    for item in one.examples:
        yield ""
        yield from _example(item)
    if not one.examples and found.kind is None and survey is not None:
        for row in survey.examples[: one.wanted]:
            yield from ("", "example")
            yield from _fields((name, _shown(value)) for name, value in row.items())


def _head(one: Looked) -> str:
    named, found = one.named, one.found
    said = named.definition.description if named.definition is not None else ""
    said = said or getattr(named.entry, "description", "")
    kind = found.kind or "a table: no layout of training data fits its columns"
    layout = f", layout {found.layout}" if found.layout and found.kind is not None else ""
    parts = ", ".join(part.dataset for part in found.shaping.mix)
    mixture = f"; joins {parts}" if parts else ""
    labeller = f"; labelled by {named.labeller}" if named.labeller else ""
    return f"{f'{harmless(said, 200)} ' if said else ''}{kind}{layout}{mixture}{labeller}"


def _counts(one: Looked) -> Iterator[str]:
    found = one.found
    read = found.survey.rows if found.survey is not None else None
    usable = sum(found.ledger.read.values()) or found.kept
    if found.kind is None:
        yield f"rows: {read or 0:,} read"
        return
    filtered = sum(step.before - step.after for step in found.ledger.steps)
    left = {r: n for r, n in found.dropped.items() if not r.startswith("filter:")}
    total = sum(named.count for named in left.values())
    head = f"{read:,} read, " if read is not None else ""
    tail = f", {found.kept:,} kept" if found.ledger.steps or filtered else ""
    yield f"rows: {head}{usable:,} usable, {total:,} left out{tail}"
    for reason, named in sorted(left.items(), key=lambda item: -item[1].count):
        yield from wrapped(f"{named.count:>8,}  {_named(reason, named)}", indent=10)


def _named(reason: str, named: Named) -> str:
    return f"{reason}: {row_list(named)}" if named.rows and named.rows != [0] else reason


def _repeats(survey: Survey) -> Iterator[str]:
    if not survey.repeats:
        return
    shown = ", ".join(f"{row} (= {first})" for row, first in survey.repeats[:MOST_REPEATS])
    more = ", …" if len(survey.repeats) > MOST_REPEATS else ""
    yield from wrapped(f"exact duplicates: {len(survey.repeats):,} rows: {shown}{more}")


def _shaped(one: Looked) -> Iterator[str]:
    ledger = one.found.ledger
    if ledger.steps:
        yield ""
        rows = [
            [
                *(step.step, f"{step.before:,}", f"{step.after:,}"),
                *(f"{step.before - step.after:,}", f"{step.changed:,}"),
                _first(one.found.dropped.get(f"filter:{step.step}")),
            ]
            for step in ledger.steps
        ]
        yield fitted(
            ["filter", "before", "after", "left out", "changed", "first rows left out"],
            rows,
            width(),
            flexible=(5,),
        )
    if ledger.shares:
        yield ""
        rows = [
            [harmless(s.source, NAME), f"{s.available:,}", f"{s.asked:,}", f"{s.given:,}"]
            for s in ledger.shares
        ]
        yield table(["part", "available", "asked", "given"], rows)


def _first(named: Named | None) -> str:
    return "" if named is None else row_list(named)


def _card(card: Card) -> Iterator[str]:
    """Yield the lengths of the rows that are kept, and what the checks say of them."""
    yield ""
    rows = [
        [part.part, f"{part.texts:,}", unit, *map(_rounded, astuple(spread))]
        for part in card.lengths
        for unit, spread in (("words", part.words), ("characters", part.characters))
    ]
    if rows:
        yield table(["lengths", "texts", "of", "mean", "median", "p95", "max"], rows)
        yield ""
    for check in card.checks:
        yield from wrapped(f"{check.status.upper():5}{check_line(check)}", indent=7)


def check_line(check: Check) -> str:
    """Return a check's name, what it found, and the first rows concerned."""
    rows = ", ".join(harmless(row, NAME) for row in check.rows[:MOST_REPEATS])
    more = ", …" if len(check.rows) > MOST_REPEATS else ""
    return f"{check.name}: {harmless(check.found, 400)}{f' [{rows}{more}]' if rows else ''}"


def _rounded(number: float) -> str:
    if math.isnan(number):
        return "n/a"
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.1f}"


def _columns(survey: Survey, *, lengths: bool) -> str:
    """Return the columns as they are; with ``lengths`` in words, which a card has as well."""
    shown = list(survey.columns.values())[:MOST_COLUMNS]
    rows = [_column(survey, column) for column in shown]
    if lengths:
        header = ["column", "type", "filled", "words mean", "median", "p95", "max", "values"]
        text = fitted(header, rows, width(), flexible=(7, 1, 4, 5))
    else:
        rows = [[*row[:3], row[-1]] for row in rows]
        text = fitted(["column", "type", "filled", "values"], rows, width(), flexible=(3, 1))
    hidden = len(survey.columns) - len(shown)
    return f"{text}\n… and {hidden} more columns" if hidden else text


def _column(survey: Survey, column: Column) -> list[str]:
    kinds = ", ".join(column.types) or "null"
    filled = column.types.total() - column.empty.count
    share = "all" if filled == survey.rows else f"{filled:,}"
    lengths = Lengths.of(column.words)
    words = [
        "" if not lengths.texts else f"{number:,.{digits}f}"
        for number, digits in (
            *((lengths.mean, 1), (lengths.median, 0)),
            *((lengths.p95, 0), (lengths.max, 0)),
        )
    ]
    return [harmless(column.name, NAME), kinds, share, *words, _values(column)]


def _values(column: Column) -> str:
    if not column.values:
        return ""
    ranked = sorted(column.values.items(), key=lambda item: (-item[1].count, item[0]))
    if column.nulls.count:
        ranked.append(("null", column.nulls))
    return ", ".join(f"{harmless(value, 24)} {named.count:,}" for value, named in ranked)


def _example(item: Item) -> Iterator[str]:
    yield f"example {harmless(leading(item).id, NAME)}".rstrip()
    yield from _fields(texts_of(item))


def texts_of(item: Item) -> Iterator[tuple[str, str]]:
    """Yield the texts of a row with what each is."""
    yield "prompt", _said(prompt_of(item))
    if isinstance(item, Demonstration):
        yield "reply", item.completion
    if not isinstance(item, Judged):
        return
    if item.pair is not None:
        yield from (("chosen", item.pair.chosen), ("rejected", item.pair.rejected))
    elif item.ranking is not None:
        yield from ((f"rank {n}", reply) for n, reply in enumerate(item.ranking.replies, start=1))
    if item.feedback is not None:
        yield ("liked" if item.feedback.liked else "disliked"), item.feedback.reply
    if item.pair is None and item.ranking is None and item.feedback is None:
        for rated in item.rated:
            ratings = ", ".join(f"{k} {v:g}" for k, v in rated.attributes.items())
            yield ratings or "rated", rated.reply


def _said(messages: Messages) -> str:
    if len(messages) == 1:
        return messages[0]["content"]
    return " ".join(f"[{m['role']}] {m['content']}" for m in messages)


def _fields(texts: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in texts:
        yield from wrapped(f"  {harmless(name, NAME)}: {harmless(text, EXCERPT)}", indent=4)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def wrapped(text: str, *, indent: int = 2) -> list[str]:
    """Return a text as lines within the terminal's width."""
    most = max(40, width() - 1)
    return wrap(text, most, subsequent_indent=" " * indent, break_on_hyphens=False) or [""]


def against_lines(compared: Compared, *, examples: int) -> Iterator[str]:
    """Yield the table of comparisons that found something, with their strongest findings."""
    found = [exposure for exposure in compared.exposures if exposure.best]
    yield bold("what the sets hold of others")
    if found:
        header = ["data set", "holds items of", "items", "exact", "n-gram", "share", "rows"]
        yield fitted(header, [_exposure(one) for one in found], width(), flexible=(0, 1))
    clean = len(compared.exposures) - len(found)
    if clean:
        yield f"{clean:,} of {len(compared.exposures):,} comparisons found nothing."
    for exposure in found:
        for finding in strongest(exposure)[:examples]:
            text = harmless(compared.texts.get((finding.suite, finding.item), ""), EXCERPT // 2)
            yield from wrapped(
                f"{_short(exposure.training)}, {finding.side} of {harmless(finding.row, NAME)}: "
                f"{finding.kind} {finding.share:.0%} of {_short(exposure.suite)} "
                f"{harmless(finding.item, NAME)}: {text}"
            )
    for note in compared.notes:
        yield from wrapped(note)


def _exposure(one: Exposure) -> list[str]:
    return [
        *(_short(one.training), _short(one.suite), f"{one.items:,}"),
        *(f"{one.count('exact'):,}", f"{one.count('ngram'):,}"),
        *(f"{one.share:.1%}", f"{one.rows:,}"),
    ]


def _short(name: str) -> str:
    """Return a path's last part; other names as they are."""
    is_path = name.startswith((".", "/", "~"))
    return harmless(name.rstrip("/").rpartition("/")[2] if is_path else name, NAME)


def document(
    looked: Sequence[Looked], compared: Compared | None, errors: Sequence[str]
) -> dict[str, object]:
    """Return everything as one JSON document."""
    found: dict[str, object] = {"sets": [_set(one) for one in looked], "errors": list(errors)}
    if compared is not None:
        found["contamination"] = [_exposure_json(one) for one in compared.exposures]
        found["notes"] = list(compared.notes)
    return found


def _set(one: Looked) -> dict[str, object]:
    found, survey = one.found, one.found.survey
    columns = [] if survey is None else [_column_json(survey, c) for c in survey.columns.values()]
    return {
        "name": one.named.name,
        "dataset": found.origin.dataset,
        "kind": found.kind,
        "layout": found.layout,
        "rows": None if survey is None else survey.rows,
        "kept": found.kept,
        "dropped": {reason: vars(named) for reason, named in sorted(found.dropped.items())},
        "shaping": found.ledger.as_json(),
        "duplicates": [] if survey is None else survey.repeats,
        "notes": [] if survey is None else list(survey.notes()),
        "columns": columns,
        "card": None if one.card is None else json.loads(one.card.to_json()),
        "left_out": one.left_out,
        "examples": [dict(texts_of(item)) for item in one.examples],
    }


def _column_json(survey: Survey, column: Column) -> dict[str, object]:
    values = {value: vars(named) for value, named in (column.values or {}).items()}
    return {
        "name": column.name,
        "types": dict(column.types),
        "absent": survey.absent(column),
        "null": vars(column.nulls),
        "blank": vars(column.empty),
        "words": asdict(Lengths.of(column.words)),
        "characters": asdict(Lengths.of(column.characters)),
        "values": values or None,
    }


def _exposure_json(one: Exposure) -> dict[str, object]:
    return {
        "training": one.training,
        "evaluation": one.suite,
        "items": one.items,
        "exact": one.count("exact"),
        "ngram": one.count("ngram"),
        "share": one.share,
        "rows": one.rows,
        "findings": [asdict(finding) for finding in strongest(one)],
    }
