"""``ablate schema``: the JSON schema of study files, for editors."""

from __future__ import annotations

import argparse

from ablate.cli.output import print_json
from ablate.spec.schema import study_schema


def run(args: argparse.Namespace) -> int:
    """Print the schema."""
    print_json(study_schema())
    return 0
