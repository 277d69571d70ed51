"""The arrows and budgets of the code: who imports whom, and how long things are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ablate"
ROWS = {
    "testing": 10,
    "__main__": 9,
    "__init__": 9,
    "cli": 8,
    "execution": 7,
    "reporting": 7,
    "training": 6,
    "evals": 6,
    "rewards": 5,
    "models": 4,
    "data": 3,
    "store": 3,
    "tracking": 3,
    "plan": 2,
    "spec": 1,
    "algorithms": 1,
    "stats": 1,
    "errors": 0,
    "secrets": 0,
}
"""A part imports from lower rows only."""
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 6
MOST_POSITIONAL = 2
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A source file of the package, parsed when a test asks for it, once.

    Every process that collects tests makes all of them; reading them then took four seconds each.
    """

    name: str
    """Dotted name."""
    path: Path

    @cached_property
    def text(self) -> str:
        """The source."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        """The source, parsed."""
        return ast.parse(self.text)

    @property
    def part(self) -> str:
        """Second piece of the name; ``__init__`` for the package itself."""
        return part_of(self.name)

    def functions(self) -> Iterator[Function]:
        """Yield every function and method, nested ones included."""
        for node in ast.walk(self.tree):
            if isinstance(node, Function):
                yield node


def part_of(name: str) -> str:
    return (name.split(".") + ["__init__"])[1]


def dotted_name(path: Path) -> str:
    pieces = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(pieces[:-1] if pieces[-1] == "__init__" else pieces)


FOUND = (Module(dotted_name(path), path) for path in sorted(PACKAGE.rglob("*.py")))
MODULES = {module.name: module for module in FOUND}


def our_imports(module: Module, root: ast.AST) -> set[str]:
    """Return the modules of the package that are imported anywhere below ``root``."""
    found: set[str] = set()
    for node in ast.walk(root):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            for name in (f"{base}.{alias.name}" for alias in node.names):
                # Taking a submodule out of a package needs nothing that its own file defines.
                found.add(name if name in MODULES else base)
    return {name for name in found if name.split(".")[0] == PACKAGE.name}


def absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    is_package = module.path.name == "__init__.py"
    pieces = module.name.split(".")
    kept = pieces[: len(pieces) - node.level + is_package]
    return ".".join([*kept, *([node.module] if node.module else [])])


def outer_statements(module: Module) -> Iterator[ast.stmt]:
    """Yield what runs when the module is imported, without the bodies of functions."""
    for node in module.tree.body:
        if not isinstance(node, Function | ast.ClassDef):
            yield node


def arrows() -> Iterator[tuple[str, str]]:
    """Yield (module, imported part), for imports at any depth."""
    for module in MODULES.values():
        for name in our_imports(module, module.tree):
            if name != PACKAGE.name and part_of(name) != module.part:
                yield module.name, part_of(name)


def test_the_walk_sees_the_package_and_its_imports() -> None:
    assert len(MODULES) > 30
    assert ("ablate.plan.job", "spec") in set(arrows())


def test_every_part_has_a_row() -> None:
    assert {module.part for module in MODULES.values()} <= ROWS.keys()


def test_parts_import_from_lower_rows_only() -> None:
    wrong = [
        f"{module} -> {part}" for module, part in arrows() if ROWS[part] >= ROWS[part_of(module)]
    ]
    assert not wrong


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for module in MODULES.values():
        imports = [our_imports(module, node) for node in outer_statements(module)]
        graph[module.name] = set().union(*imports) - {module.name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


def test_our_own_modules_are_imported_at_the_top_except_in_the_command_line() -> None:
    lazy = [
        f"{module.name}.{function.name}: {sorted(names)}"
        for module in MODULES.values()
        if module.part not in ("cli", "__init__")
        for function in module.functions()
        if (names := our_imports(module, function))
    ]
    assert not lazy


def test_only_the_command_line_prints() -> None:
    prints = [
        f"{module.name}:{node.lineno}"
        for module in MODULES.values()
        if module.part != "cli"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not prints


def test_files_are_at_most_400_lines() -> None:
    lengths = {module.name: len(module.text.splitlines()) for module in MODULES.values()}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def length(function: Function) -> int:
    """Lines from ``def`` to the end, without the docstring."""
    total = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    return total - ((docstring.end_lineno or 0) - docstring.lineno + 1)


def test_functions_are_at_most_60_lines() -> None:
    lengths = {
        f"{module.name}.{function.name}": length(function)
        for module in MODULES.values()
        for function in module.functions()
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def parameters(function: Function) -> tuple[int, int]:
    """Return how many parameters may be positional, and how many there are; without self."""
    positional = [*function.args.posonlyargs, *function.args.args]
    bound = bool(positional) and positional[0].arg in ("self", "cls")
    return len(positional) - bound, len(positional) - bound + len(function.args.kwonlyargs)


def test_functions_take_at_most_6_parameters() -> None:
    counts = {
        f"{module.name}.{function.name}": parameters(function)[1]
        for module in MODULES.values()
        for function in module.functions()
    }
    assert {name: n for name, n in counts.items() if n > MOST_PARAMETERS} == {}
