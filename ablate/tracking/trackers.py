"""Opens the destination of a target; imports the tracker that is named and no other."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from ablate.tracking.destination import Destination
from ablate.tracking.targets import Target

CLASSES = {
    "mlflow": "ablate.tracking.mlflow_events:MlflowDestination",
    "tensorboard": "ablate.tracking.tensorboard_events:TensorboardDestination",
    "wandb": "ablate.tracking.wandb_events:WandbDestination",
}


def connect(to: Target, store: Path, study: str) -> Destination:
    """Return the destination, ready to deliver; raises what its connection raises."""
    module, _, name = CLASSES[to.name].partition(":")
    cls = getattr(importlib.import_module(module), name)
    return cast(Destination, cls(store, study, to.address))
