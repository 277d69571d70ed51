"""The tokens stage: a data set's rows under one tokenizer, once for every job that reads them."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ablate.data.hygiene.check import Check, not_applicable, over, percent
from ablate.data.stored import stored_demonstrations, stored_feedback, stored_pairs
from ablate.models.boundary import Boundary
from ablate.models.loading import load_boundary
from ablate.models.template_check import template_checks
from ablate.models.token_store import Batch, Numbers, StoreWriter, TokenTable, open_table
from ablate.models.tokenizing import demonstration_batches, feedback_batches, pair_batches
from ablate.spec.data import TokensConfig
from ablate.store.workspace import Workspace
from ablate.training.loop import write_summary

logger = logging.getLogger(__name__)

SOME_UNKNOWN = 0.001
"""Share of unknown tokens from which a person should look."""
MOSTLY_UNKNOWN = 0.05
"""Share from which different texts become the same: one word in twenty, the template's counted."""


def run(workspace: Workspace) -> None:
    """Write the token rows of the ``data`` input under the tokenizer of the ``model`` input.

    Demonstrations where it has any, else its pairs, else its thumbs; never more than some hundred
    are in memory.
    """
    assert isinstance(workspace.config, TokensConfig)
    boundary = load_boundary(workspace.inputs["model"] / "model")
    with workspace.timed("tokenizing"):
        table = write_tokens(workspace, boundary, workspace.inputs["data"])
    checks = (*template_checks(boundary), unknown_words(boundary, table))
    write_summary(workspace, **described(table), checks=said(checks))


def write_tokens(workspace: Workspace, boundary: Boundary, data: Path) -> TokenTable:
    """Write the rows of a data artifact to the output; return them as they will be read."""
    pairs, demonstrations = stored_pairs(data), stored_demonstrations(data)
    kind, source_bytes, total = "pairs", pairs.size, len(pairs)
    batches: Iterator[Batch] = pair_batches(boundary, pairs)
    if demonstrations.size:
        kind, source_bytes, total = "demonstrations", demonstrations.size, len(demonstrations)
        batches = demonstration_batches(boundary, demonstrations)
    elif not pairs.size and (thumbs := stored_feedback(data)).size:
        kind, source_bytes, total = "feedback", thumbs.size, len(thumbs)
        batches = feedback_batches(boundary, thumbs)
    with StoreWriter(workspace.output, kind, vocabulary=boundary.vocabulary) as writer:
        for batch in batches:
            writer.add(batch)
            workspace.progress(writer.rows, total)
        writer.finish(tokenizer=boundary.identity(), source_bytes=source_bytes)
    return open_table(workspace.output, kind=kind, source_bytes=source_bytes)


def unknown_words(boundary: Boundary, table: TokenTable) -> Check:
    """Return how much of the text the tokenizer has no token for; few tokenizers lack any."""
    name = "unknown tokens"
    unknown = boundary.tokenizer.unk_token_id
    if unknown is None or not len(table.tokens):
        return not_applicable(name, "the tokenizer has a token for every text")
    block = 1 << 22
    count = sum(
        int(np.count_nonzero(table.tokens[start : start + block] == unknown))
        for start in range(0, len(table.tokens), block)
    )
    share = count / len(table.tokens)
    found = (
        f"{count} of {len(table.tokens)} tokens stand for text that the tokenizer does not know "
        f"({percent(share)})"
    )
    return Check(name, over(share, warn=SOME_UNKNOWN, fail=MOSTLY_UNKNOWN), found, share)


def said(checks: Iterable[Check]) -> list[dict[str, Any]]:
    """Return what checks of template and tokenizer found; what failed is logged too."""
    found = list(checks)
    for check in found:
        if check.status == "fail":
            logger.warning("tokens: %s: %s", check.name, check.found)
    return [
        {
            "name": check.name,
            "status": check.status,
            "found": check.found,
            "value": None if math.isnan(check.value) else check.value,
        }
        for check in found
    ]


def described(table: TokenTable) -> dict[str, Any]:
    """Return what the summary says: rows, tokens, and the lengths of each part."""
    return {
        "kind": table.kind,
        "rows": len(table),
        "tokens": len(table.tokens),
        "lengths": {part: _spread(table.lengths(part)) for part in table.parts},
    }


def _spread(lengths: Numbers) -> Mapping[str, float | int | None]:
    """Return mean, median, 95th percentile and maximum in tokens, None where there is no row."""
    if not len(lengths):
        return dict.fromkeys(("mean", "median", "p95", "max"))
    median, p95 = np.percentile(lengths, [50, 95]).tolist()
    return {
        "mean": float(lengths.mean()),
        "median": median,
        "p95": p95,
        "max": int(lengths.max()),
    }
