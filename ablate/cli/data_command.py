"""``ablate data``: which data sets there are, what one holds, and what sets have in common."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ablate.cli import data_text
from ablate.cli.data_against import compared
from ablate.cli.data_list import as_json, listed, print_list
from ablate.cli.data_looked import Looked, look
from ablate.cli.data_names import Named, Names, fields_of
from ablate.cli.output import print_json
from ablate.errors import AblateError, StageError, StudyError, SurroundingsError
from ablate.spec.load import load_study

STUDY_ENDINGS = (".yaml", ".yml")


def run(args: argparse.Namespace) -> int:
    """Print the list of data sets, or what is to be known about some."""
    # A hub that cannot be reached is said once, at the end, and not at each of five attempts.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    study = load_study(Path(args.study), ()) if args.study else None
    names = list(args.sets) or list(study.files.datasets if study is not None else ())
    if not names:
        if args.against or args.all_against_all or fields_of(args):
            raise StudyError("ablate data: no data set is named. Name one first: ablate data SET.")
        return _list(args)
    _check(args, names)
    finder = Names(study, fields_of(args))
    others = Names(study)
    looked: list[Looked] = []
    errors: list[AblateError] = []
    for name in names:
        try:
            looked.append(look(finder.named(name), args))
        except (StudyError, SurroundingsError, StageError) as error:
            errors.append(error)
    sets = [one.named for one in looked]
    against = sets if args.all_against_all else _others(others, args.against)
    suites = "suites" in args.against
    table = compared(sets, against, suites=suites) if looked and (against or suites) else None
    if args.json:
        print_json(data_text.document(looked, table, [str(error) for error in errors]))
    else:
        data_text.show(looked, table, examples=args.examples)
    for wrong in errors:
        print(wrong, file=sys.stderr)
    return 0 if not errors else 2 if isinstance(errors[0], StudyError) else 3


def _list(args: argparse.Namespace) -> int:
    sets = listed()
    print_json(as_json(sets)) if args.json else print_list(sets)
    return 0


def _check(args: argparse.Namespace, names: Sequence[str]) -> None:
    for name in names:
        if name.endswith(STUDY_ENDINGS):
            raise StudyError(
                f"data set {name!r}: a study and no data. The sets that it defines: ablate data "
                f"--study {name}; all that it uses: ablate plan {name}."
            )
    if args.all_against_all and args.against:
        raise StudyError("ablate data: --against and --all-against-all together. Give one.")


def _others(names: Names, wanted: Sequence[str]) -> list[Named]:
    return [names.named(name) for name in wanted if name != "suites"]
