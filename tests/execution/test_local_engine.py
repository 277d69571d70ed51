"""The fork server, the spawn style, and the slots around them, with real processes."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_study import LOCAL, OPTIONS, pairs, run

from ablate.errors import SurroundingsError
from ablate.execution.engines.devices import available_devices
from ablate.execution.engines.environment import job_environment
from ablate.execution.engines.forkserver import preload
from ablate.execution.engines.local import LocalEngine, LocalOptions
from ablate.execution.engines.protocol import Resources, State, Submission
from ablate.plan.job import Job
from ablate.store.attempts import Attempt, new_attempt
from ablate.store.layout import Store
from ablate.store.processes import identify, is_alive


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.create()
    return store


@pytest.fixture
def engines() -> Iterator[list[LocalEngine]]:
    made: list[LocalEngine] = []
    yield made
    for engine in made:
        engine.close()


def prepare(store: Store, job: Job, **changes: Any) -> Submission:
    """Write the request of a first attempt by hand."""
    attempt = new_attempt(store.job(job.fingerprint), 1, carry=None)
    request = {
        "attempt": 1,
        "fingerprint": job.fingerprint,
        "stage": job.stage,
        "config_class": type(job.config).__name__,
        "config": job.config.model_dump(mode="json"),
        "inputs": {},
        "entry": f"toy_stages:{job.stage}",
        "threads": 1,
        "beat_seconds": 0.02,
        "stale_seconds": 60.0,
    }
    attempt.write_request({**request, **changes})
    return Submission(attempt.name, attempt.folder, Resources(devices=1))


def ended(engine: LocalEngine, handle: str) -> int | None:
    """Wait for the end of an attempt; return its status."""
    while True:
        word = engine.poll([handle], timeout_seconds=1.0)[handle]
        if word.state is State.GONE:
            assert word.certain
            return word.code


def gate_open(job: Job, attempt: Path) -> bool:
    return Path(str(job.config.model_dump()["location"])).with_suffix(".started").exists()


def started(engine: LocalEngine, job: Job, submission: Submission) -> str:
    handle = engine.submit(submission)
    while not gate_open(job, submission.folder):
        engine.poll([handle], timeout_seconds=0.01)
    return handle


@pytest.mark.parametrize("style", ["fork", "spawn"])
def test_closing_the_engine_ends_its_workers(store: Store, tmp_path: Path, style: str) -> None:
    engine = LocalEngine(replace(LOCAL, style=style))
    job = pairs("wait", location=str(tmp_path / "gate"))
    submission = prepare(store, job)
    started(engine, job, submission)
    process = Attempt(submission.folder).process()
    assert process is not None and is_alive(process)
    engine.close()
    assert not is_alive(process)


def test_each_device_is_shown_to_one_job_at_a_time(
    store: Store, engines: list[LocalEngine]
) -> None:
    engines.append(engine := LocalEngine(replace(LOCAL, devices=("3", "5"))))
    jobs = [pairs("environment", seed=seed) for seed in range(2)]
    submissions = [prepare(store, job) for job in jobs]
    handles = [engine.submit(submission) for submission in submissions]
    assert engine.capacity(Resources(devices=1)) == 0 and engine.capacity(Resources()) == 2
    assert [ended(engine, handle) for handle in handles] == [0, 0]
    files = [Attempt(item.folder).work / "environment.json" for item in submissions]
    shown = [json.loads(path.read_text())["CUDA_VISIBLE_DEVICES"] for path in files]
    assert shown == ["3", "5"]
    assert engine.capacity(Resources(devices=1)) == 2


def test_the_variable_narrows_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, GPU-abc")
    assert available_devices() == ("1", "GPU-abc")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert available_devices() == ()


def test_failed_imports_are_reported(
    store: Store, engines: list[LocalEngine], caplog: pytest.LogCaptureFixture
) -> None:
    options = replace(LOCAL, preload=(*LOCAL.preload, "no_such_module"))
    engines.append(engine := LocalEngine(options))
    with caplog.at_level(logging.WARNING):
        assert ended(engine, engine.submit(prepare(store, pairs()))) == 0
    reason = "ModuleNotFoundError: No module named 'no_such_module'"
    assert engine.failed_imports() == {"no_such_module": reason}
    assert "no_such_module" in caplog.text


def test_a_module_that_raises_at_import_is_reported_too(tmp_path: Path) -> None:
    assert preload(["json"]) == {}
    assert list(preload(["ablate.no_such_module"])) == ["ablate.no_such_module"]


def test_a_server_with_a_second_thread_does_not_fork_and_jobs_are_spawned(
    store: Store, tmp_path: Path, engines: list[LocalEngine], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "starts_a_thread.py").write_text(
        "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    )
    options = replace(
        LOCAL,
        preload=(*LOCAL.preload, "starts_a_thread"),
        python_path=(*LOCAL.python_path, str(tmp_path)),
    )
    engines.append(engine := LocalEngine(options))
    submission = prepare(store, pairs())
    assert ended(engine, engine.submit(submission)) == 0
    assert "2 threads run in the fork server" in caplog.text
    record = Attempt(submission.folder).exit()
    assert record is not None and record["status"] == "ok"


@pytest.mark.parametrize("module", ["torch", "transformers", "datasets", "lm_eval"])
def test_what_is_preloaded_starts_no_thread(tmp_path: Path, module: str) -> None:

    code = (
        f"import {module}; from ablate.execution.linux import thread_names; print(thread_names())"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, env=job_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1].count(",") == 0


def test_a_dying_fork_server_is_replaced_but_not_for_ever(
    store: Store,
) -> None:
    (store.root / "deadly.py").write_text("import os\nos._exit(1)\n")
    options = LocalOptions(
        preload=("deadly",), python_path=(str(store.root),), devices=(), server_deaths=2
    )
    with pytest.raises(SurroundingsError, match="the fork server died 2 times in a row"):
        run(store, [pairs()], options=replace(OPTIONS, local=options))


def test_spawned_workers_die_with_their_controller(store: Store, tmp_path: Path) -> None:
    job = pairs("wait", location=str(tmp_path / "gate"))
    submission = prepare(store, job)
    code = (
        "import sys, time; from pathlib import Path; from dataclasses import replace;"
        "from toy_study import LOCAL; from ablate.execution.engines.local import LocalEngine;"
        "from ablate.execution.engines.protocol import Resources, Submission;"
        "engine = LocalEngine(replace(LOCAL, style='spawn'));"
        "engine.submit(Submission(sys.argv[1], Path(sys.argv[2]), Resources(1))); time.sleep(600)"
    )
    command = [sys.executable, "-c", code, submission.name, str(submission.folder)]
    environment = {**os.environ, "PYTHONPATH": LOCAL.python_path[0]}
    controller = subprocess.Popen(command, env=environment)
    while not gate_open(job, submission.folder):
        time.sleep(0.01)
    process = Attempt(submission.folder).process()
    assert process is not None and is_alive(process)
    controller.kill()
    controller.wait()
    while is_alive(process):
        time.sleep(0.01)


def test_a_heartbeat_counts_and_carries_the_progress(
    store: Store, tmp_path: Path, engines: list[LocalEngine]
) -> None:
    engines.append(engine := LocalEngine(LOCAL))
    job = pairs("wait", location=str(tmp_path / "gate"))
    submission = prepare(store, job)
    handle = started(engine, job, submission)
    attempt = Attempt(submission.folder)
    while attempt.heartbeat()["counter"] < 3:
        time.sleep(0.01)
    assert attempt.process() == identify(attempt.heartbeat()["pid"])
    engine.cancel(handle, gently=False)
    ended(engine, handle)


def test_at_most_so_many_jobs_run_on_cores_and_devices_together(
    store: Store, engines: list[LocalEngine]
) -> None:
    """Two devices and two core slots, but `--slots 1`; `ctl set slots=3` then allows one more."""
    engines.append(engine := LocalEngine(replace(LOCAL, devices=("3", "5"), most=1)))
    assert engine.capacity(Resources(devices=1)) == engine.capacity(Resources()) == 1
    handle = engine.submit(prepare(store, pairs("environment")))
    assert engine.capacity(Resources(devices=1)) == engine.capacity(Resources()) == 0
    engine.resize(3)
    assert engine.capacity(Resources(devices=1)) == 1 and engine.capacity(Resources()) == 2
    assert ended(engine, handle) == 0


def test_more_devices_than_there_are_stop_the_study_with_a_message(tmp_path: Path) -> None:
    """It would wait for ever otherwise, with nothing to say."""
    local = replace(LOCAL, devices=("3", "5"))
    options = replace(OPTIONS, local=local, resources=lambda job: Resources(devices=4))
    with pytest.raises(SurroundingsError, match="asks for 4 accelerators, and this machine has 2"):
        run(Store(tmp_path / "store"), [pairs()], options=options)
