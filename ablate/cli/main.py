"""The command ``ablate``: parse arguments, run one subcommand, turn errors into exit codes.

Exit codes: 0 done; 1 a bug in ablate; 2 the command line or the study file must change; 3 the
surroundings must change (disk, permission, missing model or data, a study that already runs);
4 the study ended with failed jobs; 130 it was stopped before its end (Ctrl-C, deadline, budget).
"""

from __future__ import annotations

import argparse
import importlib
import io
import sys
from collections.abc import Sequence

from ablate import __version__
from ablate.cli.codes import said
from ablate.cli.failing_arguments import add_retry, add_why
from ablate.cli.housekeeping import add_adopt, add_doctor, add_gc
from ablate.cli.steering_arguments import AnyOrder, add_ctl, add_overnight, add_watch
from ablate.cli.trackers import add_track
from ablate.errors import AblateError

EPILOG = """exit codes: 0 done, 1 bug, 2 command line or study file, 3 surroundings,
4 some jobs failed, 130 stopped before the end. Environment: ABLATE_STORE, ABLATE_DATA_DIR,
ABLATE_MODEL_DIR, ABLATE_TRACK, MLFLOW_TRACKING_URI, WANDB_MODE, NO_COLOR."""

NAMESAKE = "ablate"
"""A report generator of this name is in the package index; it installs the same package."""

COMMANDS = {
    "init": "write a commented study and a smoke study to start from",
    "check": "report every problem of a study file",
    "data": "show which data sets there are, and what one holds",
    "plan": "show what will run and what it will cost",
    "run": "run a study; the same command resumes it",
    "retry": "try failed jobs again, all or of one class or cell",
    "status": "show how far a study is",
    "why": "tell what happened to a job and what was tried",
    "watch": "show a study live, reading files only",
    "ctl": "steer a study while it runs: pause, cancel, retry, priority, set",
    "report": "render the report of a study",
    "diff": "compare two studies, or two cells, with intervals",
    "rescore": "score stored outputs again, as the suite does now, without a model",
    "logs": "print the log of a job",
    "models": "list the models that a study can name, or show one",
    "export": "write a cell's policy as a folder for transformers, with a model card",
    "gc": "set aside what no study needs any more, with undo",
    "adopt": "take a checkpoint that exists as the result of a job",
    "doctor": "look a store over, and mend what can be mended",
    "schema": "print the JSON schema of study files",
}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="ablate", description="Ablation studies of preference learning.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"ablate {__version__}")
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=AnyOrder
    )
    made = {}
    for name, text in COMMANDS.items():
        made[name] = subparsers.add_parser(name, help=text, description=text)
        made[name].add_argument("--json", action="store_true", help="print one JSON document")
    made["init"].add_argument("folder", nargs="?", default=".", help="where to write (default: .)")
    for name in ("check", "plan", "run", "retry", "report", "rescore"):
        _add_study(made[name])
    for name in ("plan", "run", "retry", "report", "rescore", "status", "logs", "export", "diff"):
        _add_store(made[name])
    for name in ("gc", "adopt", "doctor", "ctl", "watch", "why"):
        _add_store(made[name])
    add_gc(made["gc"])
    add_adopt(made["adopt"])
    add_doctor(made["doctor"])
    made["status"].add_argument("study", nargs="?", help="study name or file (default: all)")
    made["status"].add_argument("--timings", action="store_true", help="where the time went")
    made["rescore"].add_argument("--to", metavar="DIR", help="write outputs with the new scores")
    made["logs"].add_argument("job", help="CELL[/STAGE][@ATTEMPT], or the start of a fingerprint")
    made["logs"].add_argument("--study", help="study name or file, where several are stored")
    made["models"].add_argument("name", nargs="?", help="a model of the list, or its hub id")
    add_ctl(made["ctl"])
    add_watch(made["watch"])
    _add_export(made["export"])
    _add_diff(made["diff"])
    _add_data(made["data"])
    made["plan"].add_argument("--diff", metavar="OLD", help="compare with an earlier study file")
    made["plan"].add_argument("--order", action="store_true", help="list the jobs in order")
    reading = made["plan"].add_mutually_exclusive_group()
    reading.add_argument("--data", action="store_true", help="read data above 200 MB too")
    reading.add_argument("--no-data", action="store_true", help="say nothing about the data")
    for name in ("plan", "run", "retry"):
        _add_where(made[name])
    for name in ("run", "retry", "report"):
        made[name].add_argument(
            "--reports", default="reports", metavar="DIR", help="where reports go"
        )
    _add_report(made["report"])
    add_why(made["why"])
    add_retry(made["retry"])
    for name in ("run", "retry"):
        _add_run(made[name])
    return parser


def _add_study(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", help="study file")
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="PATH=VALUE",
        help="override a field of the file, for example seeds=1 or base.policy.beta=0.05",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--run-code", action="store_true", help="let benchmarks run programs that models write"
    )
    parser.add_argument(
        "--network", action="store_true", help="let jobs fetch models and data from the hub"
    )
    add_track(parser, default="mlflow")
    parser.add_argument("--no-report", action="store_true", help="render no report at the end")
    add_overnight(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--style",
        choices=("screen", "paper", "slides"),
        default="screen",
        help="what the files in figures/ are made for (default: screen)",
    )
    parser.add_argument(
        "--samples", action="store_true", help="write every output beside the page, by task"
    )
    add_track(parser, default="as the study's last run")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", help="name of a cell, or of a row that is evaluated only")
    parser.add_argument("--study", help="study name or file, where several are stored")
    parser.add_argument("--seed", type=int, metavar="N", help="which run (default: the first)")
    parser.add_argument("--to", required=True, metavar="FOLDER", help="where to write")
    parser.add_argument("--force", action="store_true", help="write into a folder with content")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    what = "a study's file or stored name, or STUDY:CELL"
    parser.add_argument("a", metavar="A", help=what)
    parser.add_argument("b", metavar="B", help=f"{what}; differences are B minus A")
    parser.add_argument("--study", help="study name or file that A and B are cells of")
    parser.add_argument("--all", action="store_true", help="print everything (default: 40 lines)")


def _add_where(parser: argparse.ArgumentParser) -> None:
    """Add where a study runs and how long; never what it computes."""
    parser.add_argument(
        "--slots", type=_positive, help="jobs at a time (default: as cores, devices, memory allow)"
    )
    parser.add_argument(
        "--engine",
        metavar="PLACE",
        help="local, slurm, ray, or a YAML file that says more (default: $ABLATE_ENGINE or local)",
    )
    parser.add_argument(
        "--until", metavar="TIME", help="what is not complete by then waits: 08:00, 2h30m, ISO time"
    )
    parser.add_argument(
        "--budget", metavar="AMOUNT", help="of accelerators, or of slots without any: 40gpuh, 90m"
    )
    parser.add_argument(
        "--priority",
        action="append",
        default=[],
        metavar="CELL[=N]",
        help="run a cell, all seeds of it, and its baseline before others (N: 1; -1 is last)",
    )
    parser.add_argument(
        "--any-size", action="store_true", help="start jobs that memory seems too small for"
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sets",
        nargs="*",
        metavar="SET",
        help="registry name, file, folder or hub id (default: list)",
    )
    parser.add_argument("--study", help="study file whose own data sets may be named")
    parser.add_argument(
        "--kind", choices=["preferences", "demonstrations", "prompts"], help="what rows are used as"
    )
    parser.add_argument(
        *("--columns",), action="append", default=[], metavar="OURS=THEIRS", help="rename columns"
    )
    parser.add_argument("--layout", metavar="NAME", help="what the columns mean")
    parser.add_argument("--split", metavar="NAME", help="split of a folder or hub set")
    parser.add_argument("--subset", metavar="NAME", help="configuration of a hub set")
    parser.add_argument(
        *("--filters",), action="append", default=[], metavar="FILTER,...", help="try filters"
    )
    parser.add_argument(
        *("--against",),
        nargs="+",
        action="extend",
        default=[],
        metavar="OTHER",
        help="what SET holds of these sets; `suites` are all evaluation suites",
    )
    parser.add_argument("--all-against-all", action="store_true", help="compare all sets named")
    parser.add_argument("--examples", type=_count, default=1, metavar="N", help="rows to show")
    parser.add_argument("--dropped", action="store_true", help="list every row left out")


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store", metavar="DIR", help="artifacts and state (default: $ABLATE_STORE or .ablate)"
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where the locale has no Unicode a name loses a character, and the command goes on.
        sys.stdout.reconfigure(errors="replace")
    args = build_parser().parse_args(argv)
    args.argv = list(sys.argv[1:] if argv is None else argv)
    _warn_of_namesake()
    try:
        command = importlib.import_module(f"ablate.cli.{args.command}_command")
        return int(command.run(args))
    except BrokenPipeError:
        # The reader of our output (head, less) is gone; that is its right.
        sys.stderr.close()
        return 0
    except (AblateError, OSError, KeyboardInterrupt) as error:
        return said(error)


def _warn_of_namesake() -> None:
    """Say so when the other distribution that installs a package ``ablate`` is here too."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version(NAMESAKE)
    except PackageNotFoundError:
        return
    print(
        f"warning: the distribution {NAMESAKE!r} {found} is installed beside 'ablate-studies'; "
        f"both own the package 'ablate'. Remove one: pip uninstall {NAMESAKE}",
        file=sys.stderr,
    )
