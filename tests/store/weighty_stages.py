"""A stage that leaves weights and records; run in workers, never in tests."""

from __future__ import annotations

import hashlib

from ablate.store.workspace import Workspace


def sft(workspace: Workspace) -> None:
    """Write weights that depend on every byte of the inputs, a kept checkpoint and a record."""
    digest = hashlib.sha256(workspace.fingerprint.encode())
    for folder in workspace.inputs.values():
        for path in sorted(folder.rglob("*")):
            if path.name != "manifest.json" and path.is_file():
                digest.update(path.read_bytes())
    for name in ("model/model.safetensors", "kept/1/model/config.json"):
        path = workspace.output / name
        path.parent.mkdir(parents=True)
        path.write_bytes(digest.digest() * 4096)
    workspace.log_metrics(1, {"loss": 0.5})
