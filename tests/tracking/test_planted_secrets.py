"""A whole study whose jobs say their secrets: nothing in the store has them afterwards."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ablate.cli.track import Track
from ablate.execution.controller import run_study
from ablate.execution.engines.local import LocalOptions
from ablate.execution.listener import Guarded
from ablate.execution.options import Outcome, RunOptions
from ablate.plan.build import build_plan
from ablate.plan.cells import expand
from ablate.spec.load import study_from_text
from ablate.store.layout import Store
from ablate.tracking.outbox import Outbox
from ablate.tracking.process import drain, log_path
from ablate.tracking.targets import NAMES

STUDY = """
study: s
base: {model: tiny-instruct}
rows: [base]
baseline: base
seeds: 1
grid: {dataset: [ai-fine], algorithm: [dpo]}
"""
SECRETS = {"HF_TOKEN": "swordfish-1", "LEAKY_PASSWORD": 'pa"ss\\wo+rd', "WANDB_API_KEY": "k" * 40}


def run(store: Path) -> Outcome:
    plan = build_plan("s", expand(study_from_text(STUDY)), seeds=[0], vary=["policy"])
    stages = {job.stage for job in plan.jobs}
    talking = {stage: "leaky_stages:talk" for stage in stages}
    local = LocalOptions(
        slots=2,
        devices=(),
        preload=("ablate.execution.worker", "leaky_stages"),
        python_path=(str(Path(__file__).parent),),
    )
    outbox = Outbox(store, "s")
    options = RunOptions(
        local=local, entry_points={**talking, "policy": "leaky_stages:fail"}, study_text=STUDY
    )
    listener = Guarded(Track(plan, outbox))
    outcome = run_study(
        plan.jobs, store=Store(store), study_name="s", options=options, listener=listener
    )
    outbox.close()
    return outcome


def test_no_file_of_the_store_has_a_planted_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hunter2@{address}")
    monkeypatch.setenv("WANDB_MODE", "offline")
    outcome = run(store)
    assert [failure.message for failure in outcome.failures.values()] == [
        "RuntimeError: no entry for [masked]"
    ]
    (left,) = drain(store, "s", NAMES, seconds=60.0)
    assert left.destination == f"http://{address}" and left.events > 0
    ended = list((store / "tensorboard").rglob("*.end"))
    assert len(ended) == 2 and list((store / "wandb" / "s").glob("offline-run-*"))
    # What the jobs wrote and the server's refusal are there, without the secrets.
    logs = [path.read_text() for path in store.glob("attempts/*/*/log.txt")]
    assert any("went to https://[masked]@host/x" in log for log in logs)
    assert "refused" in log_path(store, "s", "mlflow").read_text()
    planted = [*SECRETS.values(), "hunter2", 'pa\\"ss\\\\wo+rd']
    assert leaks(store, planted) == []


def leaks(store: Path, planted: list[str]) -> list[str]:
    found = []
    for path in store.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found += [f"{path}: {secret}" for secret in planted if secret.encode() in content]
    return found
