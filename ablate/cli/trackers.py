"""Which trackers a command writes to; light, as every command reads its arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

from ablate.tracking.targets import NAMES, VARIABLE, check_installed, chosen, last_chosen


def add_track(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Add ``--track`` and ``--no-tracking`` to a command."""
    parser.add_argument(
        "--track",
        metavar="NAME,...",
        help=f"trackers to write to, of {', '.join(NAMES)} (default: ${VARIABLE} or {default})",
    )
    parser.add_argument("--no-tracking", action="store_true", help="write to no tracker")


def trackers(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the trackers that ``ablate run`` writes to.

    Raises StudyError for an unknown one, SurroundingsError for one whose package is not installed.
    """
    names = () if args.no_tracking else chosen(args.track)
    check_installed(names)
    return names


def trackers_of_rest(args: argparse.Namespace, store: Path, study: str) -> tuple[str, ...]:
    """Return the trackers that other commands send the rest to: those of the study's last run."""
    if args.no_tracking:
        return ()
    names = chosen(args.track) if args.track else last_chosen(store, study)
    check_installed(names)
    return names
