"""Arguments of the commands that look after a store."""

from __future__ import annotations

import argparse


def add_gc(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ablate gc``."""
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", help="only what these studies made (default: all)"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, move nothing")
    for name, metavar, text in (
        ("keep", "JOB", "what stays in any case: starts of fingerprints or stage-fingerprints"),
        ("remove", "STUDY", "forget these studies, and what they alone need"),
        ("drop-weights", "STAGE", "weights that no job to run reads; records stay for reports"),
    ):
        parser.add_argument(
            f"--{name}", nargs="+", action="extend", default=[], metavar=metavar, help=text
        )
    parser.add_argument(
        "--drop-scratch", action="store_true", help="also checkpoints of jobs that failed for good"
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--trash", action="store_true", help="list what was set aside")
    other.add_argument(
        "--undo", nargs="?", const="", metavar="ID", help="move back: the last gc, or what is named"
    )
    other.add_argument("--empty-trash", action="store_true", help="delete the trash for good")
    parser.add_argument("--older", metavar="AGE", help="with --empty-trash: only what is older: 7d")


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ablate doctor``."""
    parser.add_argument("--hashes", action="store_true", help="read every byte of every artifact")
    parser.add_argument("--repair", action="store_true", help="mend what can be mended")


def add_adopt(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ablate adopt``."""
    parser.add_argument("path", metavar="PATH", help="folder in hub layout with the checkpoint")
    parser.add_argument("study", help="study file")
    parser.add_argument("--cell", required=True, help="cell whose job it takes the place of")
    parser.add_argument("--stage", required=True, help="sft or policy")
    parser.add_argument("--seed", type=int, metavar="N", help="which run (default: the first)")
    parser.add_argument("--note", default="", help="how it was trained, kept beside it")
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="override a field of the file",
    )
