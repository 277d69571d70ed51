"""Stages that write a file each; one arm never fits in memory."""

from __future__ import annotations

import os
import signal

from ablate.spec.online import PpoConfig
from ablate.store.workspace import Workspace


def stage(workspace: Workspace) -> None:
    """Write something, or fail as PPO does here: killed once, out of memory ever after."""
    if isinstance(workspace.config, PpoConfig):
        workspace.progress(3, 40)
        workspace.log_metrics(3, {"loss": 0.5})
        if workspace.scratch.parent.name == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        bytearray(1 << 62)
    (workspace.output / "made").write_text(workspace.fingerprint)
