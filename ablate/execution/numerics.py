"""What rounding depends on: equal fingerprints mean equal to rounding, not to the bit."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "numpy", "peft", "lm_eval", "datasets", "safetensors")
"""Whose versions may change a result's last digits."""


def numerics(threads: int, stage: Mapping[str, Any]) -> dict[str, Any]:
    """Return machine, versions and threads of this process, then what the stage says itself."""
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "processor": _processor(),
        "python": platform.python_version(),
        "threads": threads,
        "versions": {
            name: str(sys.modules[name].__version__)
            for name in PACKAGES
            if hasattr(sys.modules.get(name), "__version__")
        },
    }
    if (torch := sys.modules.get("torch")) is not None:
        found["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
        # Asking whether CUDA is there would start it; a job that used it has started it.
        if torch.cuda.is_initialized():
            found["device"] = torch.cuda.get_device_name()
            found["cuda"] = torch.version.cuda
    return {**found, **stage}


@cache
def _processor() -> str:
    """Return the processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
