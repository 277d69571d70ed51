"""Stages that say everything they should keep to themselves; run in workers, never in tests."""

from __future__ import annotations

import json
import logging
import os
import sys

from ablate.store.workspace import Workspace


def talk(workspace: Workspace) -> None:
    """Print and log the secrets, then finish with metrics and scores."""
    print(os.environ["HF_TOKEN"], os.environ["LEAKY_PASSWORD"])
    sys.stderr.write(f"went to https://me:{os.environ['LEAKY_PASSWORD']}@host/x\n")
    logging.getLogger("leaky").warning("with %s", os.environ["HF_TOKEN"])
    (workspace.output / "metrics.jsonl").write_text(json.dumps({"step": 1, "loss": 1.0}) + "\n")
    scores = {"metrics": [{"metric": "average", "value": 1.0}]}
    (workspace.output / "scores.json").write_text(json.dumps(scores))


def fail(workspace: Workspace) -> None:
    """Fail with a secret in the message, and in the cause."""
    try:
        raise KeyError(os.environ["HF_TOKEN"])
    except KeyError as error:
        raise RuntimeError(f"no entry for {os.environ['HF_TOKEN']}") from error
