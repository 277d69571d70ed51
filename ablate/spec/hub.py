"""Models of a hub by owner, name and commit, and the chat templates that go with them."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from ablate.spec.config import Config

MODEL_VARIABLE = "ABLATE_MODEL_DIR"
"""Environment variable that names a folder with copies of hub models, each ``owner/name``."""
NAME = r"[A-Za-z0-9_][\w.-]*/[\w.-]+"
"""What a hub calls a model: owner and name."""
COMMIT = r"[0-9a-f]{40}"
"""A whole commit; branches and tags move, and a shortened one may come to mean two."""
HubKind = Literal["model", "dataset"]
_TEMPLATES = Path(__file__).parent / "registry" / "templates"


class HubModel(Config):
    """Where a hub has a model, and on what terms."""

    id: Annotated[str, Field(pattern=f"^{NAME}$")]
    """``owner/name``."""
    revision: Annotated[str, Field(pattern=f"^{COMMIT}$")] | None
    """The commit that the registry's name stands for; None where no public source states one."""
    license: str
    """Its terms, as the hub abbreviates them."""
    gated: bool = False
    """Whether the hub asks for an account that has accepted the terms."""
    parameters: PositiveInt
    """The published count of its weights."""

    @property
    def terms(self) -> str:
        """What a gated model asks for first, as a sentence after a space; else nothing."""
        if not self.gated:
            return ""
        return (
            f" {self.id} is gated (licence {self.license}): accept its terms on its page of the "
            "hub and log in (hf auth login)."
        )


def local_copy(hub: HubModel) -> Path | None:
    """Return the folder of a hub model below the one that `MODEL_VARIABLE` names, if it is there.

    Reads the environment and the file system.
    """
    root = os.environ.get(MODEL_VARIABLE)
    folder = Path(root).expanduser().absolute() / hub.id if root else None
    return folder if folder is not None and folder.is_dir() else None


def unpinned(name: str, hub: HubModel) -> str:
    """Say that the registry knows no commit of a model, and how to name one."""
    return (
        f"{name!r} is {hub.id} of the hub, and the registry knows no commit of it. Name it as "
        f"{hub.id}@<commit>, 40 hexadecimal digits ({how_to_find(hub.id)}), or set "
        f"{MODEL_VARIABLE} to a folder that has it as {hub.id}.{hub.terms}"
    )


def how_to_find(hub_id: str, revision: str = "main", *, kind: HubKind = "model") -> str:
    """Say how the commit of a branch or tag is found."""
    code = f"from huggingface_hub import {kind}_info; print({kind}_info('{hub_id}', "
    return f"to find it: python -c \"{code}revision='{revision}').sha)\""


def moving(name: str, *, kind: HubKind = "model") -> str | None:
    """Say what is wrong with ``owner/name@revision`` whose revision is no commit; None where right.

    Also None for what is no such name at all.
    """
    hub_id, at, revision = name.partition("@")
    if not at or not re.fullmatch(NAME, hub_id) or re.fullmatch(COMMIT, revision):
        return None
    found = how_to_find(hub_id, revision or "main", kind=kind)
    return (
        f"{name!r} names no commit: {revision!r} may be a branch or a tag, and what those hold "
        f"changes; 40 hexadecimal digits are needed ({found})."
    )


@cache
def chat_template(name: str) -> str:
    """Return the text of a chat template that ships with the package."""
    return (_TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8").rstrip("\n")


@cache
def chat_templates() -> tuple[str, ...]:
    """Return the names of the chat templates that ship with the package."""
    return tuple(sorted(path.stem for path in _TEMPLATES.glob("*.jinja")))
