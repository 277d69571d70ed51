"""Which trackers a study is sent to, and where each of them is; imports none of them."""

from __future__ import annotations

import configparser
import importlib.util
import json
import netrc
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ablate.errors import StudyError, SurroundingsError, unknown_choice
from ablate.tracking.outbox import OUTBOX, Cursor, tracking_folder

NAMES = ("mlflow", "tensorboard", "wandb")
DEFAULT = ("mlflow",)
VARIABLE = "ABLATE_TRACK"
CHOSEN = "track.json"
_CLOUD = "https://api.wandb.ai"
_MODES: dict[str, Literal["online", "offline"]] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
}
"""Values of WANDB_MODE; the older names mean the same."""


@dataclass(frozen=True)
class Target:
    """A destination as a cursor knows it."""

    name: str
    address: str
    """Tells one server or account from another; it may hold a password."""
    made: Path | None = None
    """The file or folder that holds everything sent; sending starts over when it is gone."""

    def cursor(self, store: Path, study: str) -> Cursor:
        """Return how far a study's outbox was sent there."""
        return Cursor(tracking_folder(store, study), self.address, self.made)

    @property
    def shown(self) -> str:
        """The address without credentials."""
        return without_credentials(self.address)


def chosen(text: str | None, *, where: str = "--track") -> tuple[str, ...]:
    """Return the destinations that ``text`` names, or ABLATE_TRACK where it is None, or MLflow.

    ``none`` is none of them. Raises StudyError for an unknown name.
    """
    if text is None:
        text, where = os.environ.get(VARIABLE), VARIABLE
    if text is None or not text.strip():
        return DEFAULT
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in (*NAMES, "none"):
            raise StudyError(unknown_choice(where, name, (*NAMES, "none")))
    return tuple(dict.fromkeys(name for name in names if name != "none"))


def check_installed(names: Sequence[str]) -> None:
    """Raise SurroundingsError, naming the extra, where a tracker's package is not installed."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise SurroundingsError(
                f"--track: {name} is not installed; installed are "
                f"{', '.join(found for found in NAMES if importlib.util.find_spec(found))}. "
                f"Install it with `pip install 'ablate-studies[{name}]'`, or leave {name} out."
            )
    if "wandb" in names:
        wandb_mode()


def remember_chosen(store: Path, study: str, names: Sequence[str]) -> None:
    """Keep what a study is sent to, for the commands that send the rest."""
    folder = tracking_folder(store, study)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{CHOSEN}.partial"
    partial.write_text(json.dumps(list(names)), encoding="utf-8")
    os.replace(partial, folder / CHOSEN)


def last_chosen(store: Path, study: str) -> tuple[str, ...]:
    """Return what the study was last sent to; of an older store with an outbox it is MLflow."""
    folder = tracking_folder(store, study)
    try:
        names = json.loads((folder / CHOSEN).read_text(encoding="utf-8"))
        return tuple(name for name in names if name in NAMES)
    except (OSError, ValueError, TypeError):
        return DEFAULT if (folder / OUTBOX).exists() else ()


def target(name: str, store: Path, study: str) -> Target:
    """Return a study's destination of a name, as the environment places it.

    Raises SurroundingsError where the environment says something impossible.
    """
    match name:
        case "mlflow":
            default = store.resolve() / "mlflow.db"
            uri = os.environ.get("MLFLOW_TRACKING_URI")
            return Target(name, uri) if uri else Target(name, f"sqlite:///{default}", default)
        case "tensorboard":
            return Target(name, "tensorboard", store / "tensorboard" / study)
        case "wandb" if wandb_mode() == "offline":
            return Target(name, "wandb offline", store / "wandb" / study)
        case "wandb":
            parts = (_wandb_url(), os.environ.get("WANDB_ENTITY", ""), wandb_project())
            return Target(name, "/".join(part for part in parts if part))
        case _:
            raise ValueError(unknown_choice("tracker", name, NAMES))


def wandb_project() -> str:
    """Return the W&B project that studies are groups of."""
    return os.environ.get("WANDB_PROJECT") or "ablate"


def wandb_mode() -> Literal["online", "offline"]:
    """Return WANDB_MODE; unset it is online where a key is configured.

    Raises SurroundingsError for any other mode.
    """
    named = os.environ.get("WANDB_MODE", "").strip().lower()
    if not named:
        return "online" if _has_key() else "offline"
    if named not in _MODES:
        raise SurroundingsError(
            f"--track: WANDB_MODE is {named!r}; it is online or offline. Set it or leave wandb out."
        )
    return _MODES[named]


def without_credentials(uri: str) -> str:
    """Return an address that can be shown: user and password are left out."""
    scheme, separator, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    named = os.environ.get("NETRC")
    for path in [Path(named)] if named else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            found = netrc.netrc(str(path)).authenticators(urlsplit(_wandb_url()).netloc)
        except (OSError, netrc.NetrcParseError):
            continue
        if found and found[2]:
            return True
    return False


def _wandb_url() -> str:
    return (os.environ.get("WANDB_BASE_URL") or _settings().get("base_url") or _CLOUD).rstrip("/")


def _settings() -> Mapping[str, str]:
    """Return what ``wandb login`` has written beside the key; empty where there is nothing."""
    folder = os.environ.get("WANDB_CONFIG_DIR")
    base = Path(folder).expanduser() if folder else Path.home() / ".config" / "wandb"
    parser = configparser.ConfigParser()
    try:
        parser.read(base / "settings", encoding="utf-8")
    except (OSError, configparser.Error, UnicodeError):
        return {}
    return dict(parser["default"]) if parser.has_section("default") else {}
