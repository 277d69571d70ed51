"""YAML text to plain data, with the place of every node and every problem of the text itself.

PyYAML's parser events, not its loader: a node then knows whether its tag was written, an alias
costs nothing until it is counted, and nesting needs no recursion. Plain scalars follow the core
schema of YAML 1.2 without its octal and hexadecimal forms: ``5e-7`` is a number, ``yes`` and
``2024-01-01`` are strings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

MAX_BYTES = 8 * 2**20
"""Largest file; a study of 5,000 explicit cells has about 1 MiB."""
MAX_NODES = 500_000
"""Most values after aliases are expanded: nine levels of nine aliases make a billion."""
MAX_DEPTH = 32
"""Deepest nesting; a study needs 7."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]{1,300}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,300}|[0-9]{1,300}(\.[0-9]{0,300})?)([eE][-+]?[0-9]{1,9})?")
_INFINITY = re.compile(r"([-+]?)\.(inf|Inf|INF)")
_NOT_A_NUMBER = re.compile(r"\.(nan|NaN|NAN)")
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(slots=True)
class Node:
    """A value of the file and where it starts; lines and columns count from 0."""

    kind: Literal["scalar", "sequence", "mapping"]
    line: int
    column: int
    scalar: object = None
    items: list[Node] = field(default_factory=list)
    keys: dict[str, Node] = field(default_factory=dict)
    values: dict[str, Node] = field(default_factory=dict)
    size: int = 1
    """Values below and including this one, aliases expanded."""
    depth: int = 1
    """Levels below and including this one, aliases expanded."""

    def data(self) -> Any:
        """Return this value as dictionaries, lists and scalars."""
        if self.kind == "mapping":
            return {key: node.data() for key, node in self.values.items()}
        if self.kind == "sequence":
            return [node.data() for node in self.items]
        return self.scalar


class UnreadableYaml(Exception):
    """The text ends here as far as YAML is concerned; holds the problem and its mark."""

    def __init__(self, message: str, line: int, column: int) -> None:
        """Keep the message and the place, both counted from 0."""
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


def decode(content: bytes) -> str:
    """Return the text of a file; raises `UnreadableYaml` where it is not UTF-8 or too large."""
    if len(content) > MAX_BYTES:
        found = f"{len(content):,} bytes; at most {MAX_BYTES:,} are read. Split the study."
        raise UnreadableYaml(found, 0, 0)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8-sig", errors="replace")
        lines = _LINE_END.split(before)
        message = f"byte 0x{content[error.start]:02x} is not UTF-8. Save the file as UTF-8."
        raise UnreadableYaml(message, len(lines) - 1, len(lines[-1])) from None


def parse(text: str) -> tuple[Node | None, list[tuple[str, int, int]]]:
    """Return the root node, None for an empty text, and problems as (message, line, column).

    Raises `UnreadableYaml` where nothing after a problem can be read.
    """
    builder = _Builder()
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark else (0, 0)
        raise UnreadableYaml(_syntax(error, text, line, column), line, column) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        found = str(error).splitlines()[0] if str(error) else "unknown"
        raise UnreadableYaml(f"not valid YAML: {found}.", 0, 0) from None
    return builder.root, builder.problems


def _events(text: str) -> Iterator[Any]:
    return yaml.parse(text, Loader=_LOADER)


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int, column: int) -> str:
    lines = _LINE_END.split(text)
    at = lines[line][column : column + 1] if line < len(lines) else ""
    if at == "\t" or "'\\t'" in str(error.problem):
        return "a tab; YAML is indented with spaces. Replace the tab by spaces."
    reason = (error.problem or error.context or "unknown").strip()
    if at in ("@", "`", "%"):
        return f"not valid YAML: a value cannot start with {at!r}. Put it in quotes."
    return f"not valid YAML: {reason}."


class _Builder:
    """Build nodes from parser events, one open collection on the stack per level."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[tuple[str, int, int]] = []
        self._stack: list[Node] = []
        self._waiting_key: list[tuple[str, Node] | None] = []
        self._anchors: dict[str, Node] = {}
        self._open_anchors: dict[str, Node] = {}
        self._documents = 0
        self._count = 0
        self._takes: dict[type, Callable[[Any], None]] = {
            yaml.DocumentStartEvent: self._document,
            yaml.ScalarEvent: self._scalar,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceEndEvent: self._end,
            yaml.MappingEndEvent: self._end,
            yaml.AliasEvent: self._alias,
        }

    def take(self, event: Any) -> None:
        handler = self._takes.get(type(event))
        if handler is not None:
            handler(event)

    def _problem(self, message: str, event: Any) -> None:
        self.problems.append((message, event.start_mark.line, event.start_mark.column))

    def _stop(self, message: str, event: Any) -> UnreadableYaml:
        return UnreadableYaml(message, event.start_mark.line, event.start_mark.column)

    def _document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            found = "a second document; one file holds one study. Move it to a file of its own."
            raise self._stop(found, event)

    def _node(self, kind: Literal["scalar", "sequence", "mapping"], event: Any) -> Node:
        if event.tag is not None:
            found = f"the tag {_short_tag(event.tag)}; a study is plain data. Remove the tag."
            self._problem(found, event)
        self._count += 1
        if self._count > MAX_NODES:
            raise self._stop(f"more than {MAX_NODES:,} values. Split the study.", event)
        node = Node(kind, event.start_mark.line, event.start_mark.column)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _scalar(self, event: Any) -> None:
        node = self._node("scalar", event)
        plain = event.implicit[0]
        node.scalar = resolve_scalar(event.value) if plain else event.value
        self._add(node, event, text=event.value, plain=plain)

    def _start(self, event: Any) -> None:
        kind: Literal["sequence", "mapping"] = (
            "mapping" if isinstance(event, yaml.MappingStartEvent) else "sequence"
        )
        node = self._node(kind, event)
        if len(self._stack) >= MAX_DEPTH:
            raise self._stop(f"nested more than {MAX_DEPTH} levels deep. Flatten it.", event)
        if self._stack and self._stack[-1].kind == "mapping" and self._waiting_key[-1] is None:
            raise self._stop("a key that is a list or mapping; keys are text. Name it.", event)
        self._stack.append(node)
        self._waiting_key.append(None)

    def _end(self, event: Any) -> None:
        node = self._stack.pop()
        self._waiting_key.pop()
        self._add(node, event)

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise self._stop(f"the alias *{event.anchor} has no anchor before it.", event)
        if any(node is level for level in self._stack):
            found = f"the alias *{event.anchor} contains itself. Write the value out."
            raise self._stop(found, event)
        text = str(node.scalar) if node.kind == "scalar" else None
        self._add(node, event, text=text)

    def _add(self, node: Node, event: Any, *, text: str | None = None, plain: bool = False) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if parent.kind == "sequence":
            parent.items.append(node)
        elif (waiting := self._waiting_key[-1]) is None:
            self._waiting_key[-1] = self._key(parent, node, event, text, plain)
            return
        else:
            name, key = waiting
            self._waiting_key[-1] = None
            if name not in parent.values:
                parent.keys[name], parent.values[name] = key, node
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if parent.size > MAX_NODES:
            found = f"aliases that expand to more than {MAX_NODES:,} values. Write fewer."
            raise self._stop(found, event)
        if parent.depth + len(self._stack) > MAX_DEPTH + 2:
            raise self._stop(f"nested more than {MAX_DEPTH} levels deep. Flatten it.", event)

    def _key(
        self, parent: Node, node: Node, event: Any, text: str | None, plain: bool
    ) -> tuple[str, Node]:
        if text is None:
            raise self._stop("a key that is a list or mapping; keys are text. Name it.", event)
        if plain and text == "<<":
            found = "the merge key '<<'; it is not part of YAML 1.2. Write the fields out."
            self._problem(found, event)
        elif text == "":
            self._problem("an empty key. Name it.", event)
        elif text in parent.values:
            first = parent.keys[text].line + 1
            found = f"{text!r} is set a second time; line {first} set it first. Keep one."
            self._problem(found, event)
        return text, Node("scalar", event.start_mark.line, event.start_mark.column)


def _short_tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def resolve_scalar(text: str) -> object:
    """Return the value of an unquoted scalar by the core schema of YAML 1.2, decimal only."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if infinity := _INFINITY.fullmatch(text):
        return -math.inf if infinity.group(1) == "-" else math.inf
    return math.nan if _NOT_A_NUMBER.fullmatch(text) else text
