"""Artifacts written by hand, and an MLflow database to copy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient  # noqa: E402


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database made once: creating its tables takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = tmp_path / "store"
    root.mkdir()
    shutil.copy(empty_database, root / "mlflow.db")
    return root


@pytest.fixture
def artifact(store: Path) -> Callable[..., str]:
    """Write an artifact folder; return its path relative to the store."""

    def write(stage: str, fingerprint: str, **files: object) -> str:
        folder = store / "artifacts" / stage / fingerprint
        folder.mkdir(parents=True)
        (folder / "model").mkdir()
        (folder / "model" / "model.safetensors").write_bytes(b"weights")
        (folder / "manifest.json").write_text(json.dumps({"fingerprint": fingerprint}))
        for name, content in files.items():
            if name == "metrics":
                lines = "".join(json.dumps(line) + "\n" for line in content)  # type: ignore[attr-defined]
                (folder / "metrics.jsonl").write_text(lines)
            else:
                (folder / f"{name}.json").write_text(json.dumps(content))
        return str(folder.relative_to(store))

    return write
