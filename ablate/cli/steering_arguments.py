"""What `ablate run`, `ctl` and `watch` take on the command line for steering."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

CTL = """ablate ctl [STUDY] pause | resume | stop [--drain]
       ablate ctl [STUDY] cancel CELL... | retry [CELL...] [--class oom]
       ablate ctl [STUDY] priority CELL... N
       ablate ctl [STUDY] set [slots=2] [until=08:00] [budget=40gpuh]"""


class AnyOrder(argparse.ArgumentParser):
    """A parser that can take options between words, as in ``retry --class oom CELL``."""

    any_order = False
    _inside = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse options first and words afterwards, if `any_order` is set."""
        if not self.any_order or self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True  # what is called here comes back to this method
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def add_ctl(parser: argparse.ArgumentParser) -> None:
    """Add the verb, what it is about, and how it is said."""
    parser.usage = CTL
    if isinstance(parser, AnyOrder):
        parser.any_order = True
    parser.add_argument(
        "words",
        nargs="+",
        metavar="WORD",
        help="study (name or file; default: the one that runs), verb, and what it is about: CELL, "
        "CELL/STAGE or the start of a fingerprint",
    )
    parser.add_argument("--study", help="study name or file, where its name is also a verb")
    parser.add_argument(
        "--class", dest="kind", metavar="CLASS", help="retry failures of this class"
    )
    parser.add_argument("--drain", action="store_true", help="stop: let what runs end")
    parser.add_argument("--dry-run", action="store_true", help="say what would change")


def add_watch(parser: argparse.ArgumentParser) -> None:
    """Add the study and how often to look."""
    parser.add_argument("study", nargs="?", help="study name or file (default: the one that runs)")
    parser.add_argument("--once", action="store_true", help="print one view and end")
    parser.add_argument(
        "--every", type=_seconds, default=1.0, metavar="SECONDS", help="between two looks"
    )


def add_overnight(parser: argparse.ArgumentParser) -> None:
    """Add what lets `ablate run` go on without a terminal."""
    parser.add_argument(
        "--detach", action="store_true", help="go on in the background; prints one JSON record"
    )
    parser.add_argument(
        "--on-event",
        metavar="COMMAND",
        help="run it when jobs fail and the study starts, pauses, stops or ends: JSON on its "
        "standard input (default: $ABLATE_ON_EVENT)",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.1 <= seconds <= 3600.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return seconds
