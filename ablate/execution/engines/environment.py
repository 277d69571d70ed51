"""Environment variables of every process that runs jobs; set before Python starts there."""

from __future__ import annotations

import os
from collections.abc import Sequence


def job_environment(
    *, threads: int = 1, network: bool = False, python_path: Sequence[str] = ()
) -> dict[str, str]:
    """Return this process's environment with `job_variables`, and ``python_path`` in front."""
    environment = {**os.environ, **job_variables(threads=threads, network=network)}
    paths = [*python_path, environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return environment


def job_variables(*, threads: int = 1, network: bool = False) -> dict[str, str]:
    """Return what makes jobs repeatable and safe to fork, wherever they run.

    ``network`` lets the model hub be asked; otherwise only its cache on disk is.
    """
    fixed = {
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        # Arrow's allocator starts a thread at import, and a process with threads must not fork.
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        # The other check of torch starts CUDA, which does not survive a fork.
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        # cuBLAS gives the same bits in every run only with a workspace of its own per stream.
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "TQDM_DISABLE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if not network:
        fixed["HF_HUB_OFFLINE"] = "1"
    return fixed


def device_environment(devices: Sequence[str]) -> dict[str, str]:
    """Return the variables that show a job exactly its accelerators, or none."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(devices)}
