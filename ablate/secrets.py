"""Secrets out of texts that are kept or sent: logs, messages, trackers, reports.

Masked are the values of environment variables whose names say that they are secret, passwords in
addresses, headers and assignments, and tokens of well-known forms. A value that is too short to be
told from a word is left, as it would be found everywhere.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

MASK = "[masked]"
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL", re.IGNORECASE)
_SECRET_FIELD = re.compile(
    r"^(.*[_-])?(password|passwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)$",
    re.IGNORECASE,
)
_URI_VARIABLE = re.compile(r"://[^/\s]*:([^/\s]+)@")
_PLAIN = {"disabled", "enabled", "default", "required", "optional"}
_LONG, _MIXED = 8, 5
"""Characters of a secret: any value, and one that mixes letters with others."""
_FIELDS = ("password", "passwd", "secret", "api_key", "api-key", "apikey")
_TOKENS = ("access_token", "access-token", "auth_token", "auth-token")
_FORMS: dict[tuple[str, ...], str] = {
    ("://",): r"(?<=://)[^/\s@\"'\\]*:[^/\s\"'\\]*(?=@)",  # User and password of an address.
    ("key=", "token=", "secret=", "password=", "signature=", "sig="): (
        r"([?&](?:[^=&\s\"'\\]*(?:key|token|secret|password|signature)|sig)=)[^&\s\"'\\]+"
    ),
    ("bearer ", "basic "): r"((?:bearer|basic)\s+)(?=[^\s\"'\\]*\d)[\w.~+/=-]{16,}",
    _FIELDS + _TOKENS: (
        r"((?:password|passwd|secret|api[_-]?key|(?:access|auth)[_-]?token)[\"'\\]*\s*[=:]\s*"
        r"[\"'\\]*)(?!\[masked\]|none\b|null\b|true\b|false\b)[^\s\"'\\,;&)}\]]{4,}"
    ),
    ("hf_", "sk-"): r"\bhf_[a-z0-9]{20,}|\bsk-[a-z0-9_-]{20,}",
    ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"): (
        r"\bgh[pousr]_[a-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}"
    ),
    ("xoxa-", "xoxb-", "xoxp-", "xoxr-", "akia"): r"\bxox[abpr]-[\w-]{10,}|\bakia[0-9a-z]{16}\b",
    ("wandb_v1_", "eyj"): r"\bwandb_v1_\w{20,}|\beyj[\w-]{10,}\.[\w-]{10,}\.[\w-]+",
}
"""Forms of secrets by what a text in lower case must hold, as most texts hold none of it. A group
is what stands before the secret and stays."""
_KNOWN_FORMS = {hints: re.compile(form, re.IGNORECASE) for hints, form in _FORMS.items()}


class Masker:
    """Replaces secrets by ``[masked]``; made once, as it reads the environment."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """Take the secrets of ``environment``; None is this process's."""
        found = _values(os.environ if environment is None else environment)
        spellings = {
            form for value in found for form in (value, _in_json(value), repr(value)[1:-1])
        }
        self._values = sorted(spellings, key=len, reverse=True)

    def text(self, text: str) -> str:
        """Return the text without secrets; the same text where there are none."""
        for value in self._values:
            text = text.replace(value, MASK)
        lowered = text.lower()
        for hints, form in _KNOWN_FORMS.items():
            if any(hint in lowered for hint in hints):
                text = form.sub(_masked, text)
        return text

    def tree(self, value: Any) -> Any:
        """Return mappings, sequences and strings without secrets; keys and numbers stay.

        Of a field whose name says that it is secret, such as ``api_key``, the whole text goes.
        """
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self._field(key, item) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [self.tree(item) for item in value]
        return value

    def _field(self, name: object, value: Any) -> Any:
        if isinstance(value, str) and value and _SECRET_FIELD.match(str(name)):
            return MASK
        return self.tree(value)


class MaskedStream:
    """A text stream that writes without secrets; everything else is the stream's own."""

    def __init__(self, stream: TextIO, masker: Masker) -> None:
        """Write to ``stream``."""
        self._stream, self._masker = stream, masker

    def write(self, text: str) -> int:
        """Write the text without secrets; return the length of what was given."""
        self._stream.write(self._masker.text(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write every line without secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has."""
        return getattr(self._stream, name)


@contextmanager
def masked_output() -> Iterator[None]:
    """Mask what Python code writes to standard output and error within the block.

    What other programs and compiled code write there goes past it, as does a secret that is
    written in pieces.
    """
    masker = Masker()
    out, error = MaskedStream(sys.stdout, masker), MaskedStream(sys.stderr, masker)
    with redirect_stdout(cast(TextIO, out)), redirect_stderr(cast(TextIO, error)):
        yield


def _values(environment: Mapping[str, str]) -> set[str]:
    found = {value.strip() for name, value in environment.items() if _SECRET_NAME.search(name)}
    for value in environment.values():
        found.update(_URI_VARIABLE.findall(value))
    return {value for value in found if _is_telling(value)}


def _is_telling(value: str) -> bool:
    """Whether a value is a secret and not a flag, a path or a short word."""
    if value.lower() in _PLAIN or value.startswith(("/", "~/", "./")):
        return False
    mixed = not value.isalpha() and any(map(str.isalpha, value))
    return len(value) >= (_MIXED if mixed else _LONG)


def _in_json(value: str) -> str:
    return json.dumps(value)[1:-1]


def _masked(match: re.Match[str]) -> str:
    before = match.group(1) if match.re.groups else ""
    return f"{before}{MASK}"
