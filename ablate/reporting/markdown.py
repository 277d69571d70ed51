"""The report as Markdown, with the figures as PNG files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ablate.reporting.data_cards import DataCard
from ablate.reporting.disagreements import Disagreement
from ablate.reporting.document import Document
from ablate.reporting.footnotes import letter, letters_of
from ablate.reporting.section import Section
from ablate.reporting.tables import Cell, Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|$])")


def render_markdown(document: Document) -> str:
    """Return the report; examples of outputs are left to the page."""
    return "\n".join(_lines(document)).rstrip() + "\n"


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def markdown_table(table: Table) -> str:
    """Return a table; small print follows the number after a line break.

    Headings of groups are rows of their own; why a field is missing is a letter beside its dash.
    """
    letters = letters_of(table)
    empty = [""] * (len(table.columns) - 1)
    lines = [_row(_titles(table)), _row(["---"] + ["---:"] * len(empty))]
    for title, rows in table.blocks:
        if title:
            lines.append(_row([f"**{escape(title)}**", *empty]))
        lines += [_row([_field(cell, letters) for cell in row]) for row in rows]
    return "\n".join(lines) + "\n"


def notes_of(table: Table) -> list[str]:
    """Return what stands below a table: its notes, then why fields are missing."""
    missing = [f"{mark}: {escape(reason)}." for reason, mark in letters_of(table).items()]
    return [*(escape(note) for note in table.notes), *([" ".join(missing)] if missing else [])]


def _titles(table: Table) -> list[str]:
    over = [title for title, columns in table.spans for _ in range(columns)]
    titles = zip(over or [""] * len(table.columns), table.columns, strict=True)
    return ["<br>".join(escape(said) for said in both if said) for both in titles]


def _row(fields: list[str]) -> str:
    return "| " + " | ".join(fields) + " |"


def _field(cell: Cell, letters: dict[str, str]) -> str:
    main = escape(cell.text)
    if main and (cell.strong or cell.slanted):
        stars = "*" * (2 * cell.strong + cell.slanted)
        main = f"{stars}{main}{stars}"
    if mark := letter(cell, letters):
        main = f"{main}<sup>{mark}</sup>"
    small = "<br>".join(escape(line) for line in cell.sub.splitlines())
    return f"{main}<br>{small}" if small else main


def _lines(document: Document) -> Iterator[str]:
    study = document.study
    yield from (f"# {escape(study.name)}", "", escape(study.question), "")
    for badge in document.badges:
        yield from (f"**{escape(badge)}**", "")
    for alarm in document.alarms:
        yield from (f"> **Alarm.** {escape(alarm)}", "")
    if study.expectation:
        yield from (f"**Expected.** {escape(study.expectation)}", "")
    yield from (f"**Observed.** {escape(' '.join(document.observed))}", "")
    yield from (f"{escape(document.scope)} {escape(document.state)}.", "")
    for section in document.sections:
        yield from _section(section)
    yield from ("## Provenance", "")
    for warning in document.provenance.warnings:
        yield from (f"> {escape(warning)}", "")
    yield from (f"- {escape(title)}: {escape(value)}" for title, value in document.provenance.facts)
    yield ""
    if document.provenance.stages is not None:
        yield markdown_table(document.provenance.stages)
    yield from ("## Methods", "")
    for paragraph in (*document.methods, *document.references):
        yield from (escape(paragraph), "")


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {escape(section.title)}", "")
    for paragraph in section.text:
        yield from (escape(paragraph), "")
    for alarm in section.alarms:
        yield from (f"> **Alarm.** {escape(alarm)}", "")
    for figure in section.figures:
        yield from (f"![{escape(figure.alt)}](figures/{figure.name}.png)", "")
        yield from (f"*{escape(figure.title)}.* {escape(figure.caption)}", "")
    for table in section.tables:
        yield from (escape(table.caption), "", markdown_table(table))
        for note in notes_of(table):
            yield from (note, "")
    for card in section.cards:
        yield from _card(card)
    if section.disagreements:
        yield from ("### Worst disagreements", "")
        for pair in section.disagreements:
            yield from _disagreement(pair)


def _disagreement(pair: Disagreement) -> Iterator[str]:
    head = f"{pair.reward_model}, {pair.subset}" if pair.subset else pair.reward_model
    yield (f"**{escape(head)}**: {' against '.join(map(escape, pair.scores))}")
    yield ""
    yield from (
        f"- {part}: {escape(said)}"
        for part, said in (
            ("prompt", pair.prompt),
            ("chosen", pair.chosen),
            ("rejected", pair.rejected),
        )
    )
    yield ""


def _card(card: DataCard) -> Iterator[str]:
    yield from (f"### {escape(card.title)}", "")
    yield from (f"- {escape(title)}: {escape(value)}" for title, value in card.facts)
    yield ""
    for table in card.tables:
        yield from (escape(table.caption), "", markdown_table(table))
    if card.example:
        yield from ("The first row:", "")
        yield from (f"- {escape(part)}: {escape(text)}" for part, text in card.example)
        yield ""
