"""Rows of a data set of the hub, at one revision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ablate.data.reading.arrow_rows import BATCH, batch_rows
from ablate.data.reading.limits import Bad, Limits, Row, visible
from ablate.errors import SurroundingsError


def hub_rows(name: str, *, subset: str | None, split: str, limits: Limits) -> Iterator[Row | Bad]:
    """Yield the rows of ``owner/name@revision``, which the library ``datasets`` fetches and keeps.

    Code that a data set brings along is never run: the library has no such loader any more, and is
    not asked to trust any.
    """
    # Heavy, and most studies read local files.
    import datasets

    id_, _, revision = name.partition("@")
    if not revision:
        raise SurroundingsError(
            f"data set {name!r}: no revision is given; {name}@<commit> is needed, since a branch "
            "may change. Take the commit from the data set's page."
        )
    try:
        # The address keeps a folder that happens to be called like the id from being read instead.
        found = datasets.load_dataset(
            f"hf://datasets/{id_}", subset, split=split, revision=revision
        )
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = visible(" ".join(str(error).split()))
        raise SurroundingsError(
            f"data set {name!r} of the hub cannot be loaded ({type(error).__name__}: "
            f"{reason:.400}). Check name, revision, subset and split, or name a local copy."
        ) from error
    yield from batch_rows(_batches(found), found.features.arrow_schema, limits, kind="Arrow")


def _batches(found: Any) -> Iterator[Any]:
    for table in found.with_format("arrow").iter(BATCH):
        yield from table.to_batches()
