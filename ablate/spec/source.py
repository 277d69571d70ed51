"""The text of a study, and problems as the user reads them: place, source line and caret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ablate.spec.problems import Place, Problem, dotted
from ablate.spec.yaml_source import Node

LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line for the YAML parser, whose marks are used."""


@dataclass(frozen=True)
class Source:
    """The text of a study and its nodes: turns a `Problem` into what the user reads."""

    name: str
    """The file as the user named it."""
    text: str = ""
    root: Node | None = None
    """None where there is no text, as for a study made in Python."""
    sets: Mapping[Place, str] = field(default_factory=dict)
    """What ``--set`` wrote, by place: problems there name the option and not the file."""

    def locate(self, problem: Problem) -> tuple[int, int]:
        """Return line and column, from 0, of the deepest element of the place that exists."""
        if problem.mark is not None or self.root is None:
            return problem.mark or (0, 0)
        node, mark = self.root, (self.root.line, self.root.column)
        for element in problem.place:
            below: Node | None = None
            if isinstance(element, int):
                if node.kind == "sequence" and element < len(node.items):
                    below = node.items[element]
                    mark = (below.line, below.column)
            elif element in node.values:
                below = node.values[element]
                key = node.keys[element]
                last = problem.at_key and element == problem.place[-1]
                mark = (key.line, key.column) if last else (below.line, below.column)
            node = below or node
        return mark

    def _option(self, place: Place) -> str | None:
        for length in range(len(place), 0, -1):
            if (option := self.sets.get(place[:length])) is not None:
                return option
        return None

    def render(self, problem: Problem) -> str:
        """Return ``file:line:column: where: message``, the source line and a caret."""
        where = dotted(problem.place)
        body = f"{where}: {problem.message}" if where else problem.message
        if (option := self._option(problem.place)) is not None:
            return f"--set {option}: {body}"
        if self.root is None:
            return f"{self.name}: {body}"
        return at_mark(self.name, self.text, self.locate(problem), body)

    def order(self, problem: Problem) -> tuple[int, int]:
        """Return a sort key that puts problems in the order of the file."""
        if self.root is None or self._option(problem.place) is not None:
            return (-1, -1)
        return self.locate(problem)


def at_mark(name: str, text: str, mark: tuple[int, int], body: str) -> str:
    """Return ``body`` behind file, line and column, above the source line with a caret."""
    line, column = mark
    lines = LINE_END.split(text)
    shown = lines[line] if line < len(lines) else ""
    first = max(0, column - 70)
    shown, caret = shown[first : first + 110], column - first
    padding = "".join("\t" if character == "\t" else " " for character in shown[:caret])
    head = f"{name}:{line + 1}:{column + 1}: {body}"
    return f"{head}\n    {shown.rstrip()}\n    {padding.ljust(caret)}^" if shown.strip() else head
