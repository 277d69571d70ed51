"""What `ablate why` and `ablate retry` take on the command line."""

from __future__ import annotations

import argparse


def add_why(parser: argparse.ArgumentParser) -> None:
    """Add the job and the study."""
    parser.add_argument("job", help="CELL[/STAGE], or the start of a fingerprint")
    parser.add_argument("--study", help="study name or file, where several are stored")
    parser.add_argument("--all", action="store_true", help="tell every job at length")


def add_retry(parser: argparse.ArgumentParser) -> None:
    """Add which failures are meant; the rest is what `ablate run` takes."""
    parser.add_argument(
        *("--class",),
        dest="kind",
        metavar="CLASS",
        help="failures of this class only: oom, nan, lost, hang, timeout, bug, ...",
    )
    parser.add_argument(
        "--cell",
        action="append",
        default=[],
        metavar="CELL[/STAGE]",
        help="failures of this cell only, of what it reads from among them",
    )
