"""The command of the backend ``command``: its arguments, and the files among them; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.spec.messages import one_of
from ablate.spec.names import is_path

PLACEHOLDERS = ("job", "output", "python")
"""``{job}`` is the path of ``job.json``, ``{output}`` the folder to write in, ``{python}`` the
interpreter that runs this library."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_FILE_SUFFIXES = (
    *(".py", ".sh", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".txt"),
    *(".cfg", ".ini", ".jinja"),
)


@dataclass(frozen=True)
class FileArgument:
    """An argument that names a file or folder of this machine."""

    position: int
    """Place in the command."""
    option: str
    """What stands before the path, as ``--config=``; empty where the argument is the path."""
    path: str
    """As the author wrote it."""


def file_arguments(command: Sequence[str]) -> list[FileArgument]:
    """Return the arguments that are written as paths, or end as files of scripts and settings do.

    A program that is found on the search path, such as ``python``, is none.
    """
    found = []
    for position, argument in enumerate(command):
        option, equals, value = argument.partition("=")
        if not (argument.startswith("-") and equals):
            option, equals, value = "", "", argument
        named = is_path(value) or value.endswith(_FILE_SUFFIXES)
        if named and "://" not in value and not _PLACEHOLDER.search(value):
            found.append(FileArgument(position, option + equals, value))
    return found


def command_name(command: Sequence[str]) -> str:
    """Return the name under which the loader keeps a command's files."""
    return json.dumps(list(command), ensure_ascii=False)


def command_of(name: str) -> list[str]:
    """Return the command of a name that `command_name` made."""
    return [str(argument) for argument in json.loads(name)]


def wrong_placeholder(command: Sequence[str]) -> str | None:
    """Return what is wrong with the command's placeholders, None where nothing is."""
    for argument in command:
        for name in _PLACEHOLDER.findall(argument):
            if name not in PLACEHOLDERS:
                return one_of("{" + name + "}", ["{" + known + "}" for known in PLACEHOLDERS])
    return None


def filled(command: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the arguments with every placeholder replaced by its value."""
    return [_PLACEHOLDER.sub(lambda match: values[match[1]], argument) for argument in command]
