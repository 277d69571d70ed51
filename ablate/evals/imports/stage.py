"""The stage that imports results: of samples, or published numbers."""

from __future__ import annotations

from pathlib import Path

from ablate.evals.imports.importing import imported, write_imported
from ablate.evals.imports.output import Selection
from ablate.evals.imports.published import published_metrics, remarks
from ablate.evals.records import write_published
from ablate.spec.evaluation import ImportedConfig
from ablate.store.workspace import Workspace


def run(workspace: Workspace) -> None:
    """Write what an evaluation would have left; published numbers have no samples."""
    config = workspace.config
    assert isinstance(config, ImportedConfig)
    if config.source:
        found = published_metrics(config.scores, config.tasks, config.errors)
        alarms = list(remarks(config.scores))
        write_published(workspace.output, found, source=config.source, alarms=alarms)
        workspace.progress(1, 1)
        return
    tasks = config.definition.tasks if config.definition is not None else {}
    path = Path(config.location or config.files)
    chosen = Selection(tasks, config.names, config.model)
    results = imported(path, format=config.format, selection=chosen)
    write_imported(workspace.output, results, suite=config.suite)
    workspace.progress(1, 1)
