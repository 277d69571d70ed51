"""Tables for a paper: booktabs, everything escaped."""

from __future__ import annotations

from ablate.reporting.footnotes import letter, letters_of
from ablate.reporting.tables import Cell, Table

_SPECIAL = {
    # At the start of a row these two would be read as an argument of the row before.
    "[": "{[}",
    "*": "{*}",
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\N{MINUS SIGN}": "$-$",
    "–": "--",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "→": r"$\rightarrow$",
    "·": r"$\cdot$",
    "▲": r"$\blacktriangle$",
    "▼": r"$\blacktriangledown$",
    "△": r"$\vartriangle$",
    "≈": r"$\approx$",
    "✕": r"$\times$",
    "×": r"$\times$",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "≥": r"$\geq$",
    "√": r"$\sqrt{}$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "π": r"$\pi$",
    "ρ": r"$\rho$",
    "τ": r"$\tau$",
    "χ": r"$\chi$",
    "²": r"$^2$",
    "↓": r"$\downarrow$",
}


_SHADES = {"better": "D6E8F5", "worse": "FBE0CC"}


def latex_table(table: Table, *, shaded: bool = False) -> str:
    r"""Return a ``table`` environment; it needs booktabs and amssymb.

    Small print stands in a second line of its row; notes, and why fields are missing, stand below.
    ``shaded`` colours what was decided, which needs ``\usepackage[table]{xcolor}`` as well.
    """
    letters = letters_of(table)
    lines = [r"\begin{table}", r"\centering", rf"\caption{{{escape(table.caption)}}}"]
    lines += [rf"\label{{tab:{table.name}}}"]
    lines += [rf"\begin{{tabular}}{{{_layout(table)}}}", r"\toprule", *_spans(table)]
    lines.append(_row([escape(column) for column in table.columns]))
    for title, rows in table.blocks:
        lines.append(r"\midrule")
        if title:
            heading = rf"\multicolumn{{{len(table.columns)}}}{{l}}{{\textit{{{escape(title)}}}}}"
            lines.append(heading + r" \\")
        for row in rows:
            lines.append(_row([_main(cell, letters, shaded=shaded) for cell in row]))
            if any(cell.sub for cell in row):
                lines.append(_row([_small(cell, shaded=shaded) for cell in row]))
    lines += [r"\bottomrule", r"\end{tabular}", *_below(table, letters), r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return text that LaTeX prints as it is, on one line."""
    return "".join(_SPECIAL.get(character, character) for character in " ".join(text.split()))


def _layout(table: Table) -> str:
    """Return the columns: numbers to the right, running text in lines of a fixed width."""
    wide = [any(cell.wide for cell in column) for column in zip(*table.rows, strict=True)]
    kinds = ["p{4cm}" if is_wide else "r" for is_wide in wide or [False] * len(table.columns)]
    return "".join(["l", *kinds[1:]])


def _spans(table: Table) -> list[str]:
    """Return the line of titles over columns, and the rules below them."""
    if not table.spans:
        return []
    fields, rules, first = [], [], 1
    for title, columns in table.spans:
        fields.append(rf"\multicolumn{{{columns}}}{{c}}{{{escape(title)}}}")
        if title:
            rules.append(rf"\cmidrule(lr){{{first}-{first + columns - 1}}}")
        first += columns
    return [_row(fields), " ".join(rules)]


def _below(table: Table, letters: dict[str, str]) -> list[str]:
    said = [escape(note) for note in table.notes]
    said += [rf"$^{{{mark}}}$ {escape(reason)}." for reason, mark in letters.items()]
    if not said:
        return []
    lines = [r"\begin{minipage}{\linewidth}", r"\smallskip\footnotesize"]
    return [*lines, " ".join(said), r"\end{minipage}"]


def _row(fields: list[str]) -> str:
    return " & ".join(fields) + r" \\"


def _main(cell: Cell, letters: dict[str, str], *, shaded: bool) -> str:
    main = escape(cell.text)
    if main and cell.slanted:
        main = rf"\textit{{{main}}}"
    if main and cell.strong:
        main = rf"\textbf{{{main}}}"
    if mark := letter(cell, letters):
        main = rf"{main}$^{{{mark}}}$"
    return _shade(cell, shaded=shaded) + main


def _small(cell: Cell, *, shaded: bool) -> str:
    small = escape(cell.sub)
    return _shade(cell, shaded=shaded) + (rf"{{\scriptsize {small}}}" if small else "")


def _shade(cell: Cell, *, shaded: bool) -> str:
    colour = _SHADES.get(cell.tone) if shaded else None
    return rf"\cellcolor[HTML]{{{colour}}}" if colour else ""
