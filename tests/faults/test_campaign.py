"""The fault campaign in short, and that what it looks for is noticed when it is there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import oracle
import pytest
from campaign import Campaign
from cluster import Local
from processes import marked

from ablate.store.files import sha256

HERE = Path(__file__).parent
SMOKE = HERE.parents[1] / "studies" / "smoke.yaml"
SMALL = (
    *("rows=[sft]", "grid.algorithm=[dpo]", "base.evaluation.limit=1"),
    *("base.model.examples=16", "base.sft.examples=8", "base.preferences.examples=8"),
)
"""Of the smoke study one arm of eight examples, asked one question."""
SEED, MEAN_SECONDS = 3, 1.5


def campaign(state: Path, **fields: float) -> Campaign:
    values = {"seed": SEED, "kills": 3, "mean_seconds": MEAN_SECONDS, **fields}
    return Campaign(state, SMOKE, target=Local(), options=[], **values)  # type: ignore[arg-type]


def test_the_nth_kill_depends_on_the_seed_and_its_number_alone(tmp_path: Path) -> None:
    one, other = campaign(tmp_path / "a"), campaign(tmp_path / "b", kills=200, first=7)
    draws = [one.draw(number) for number in range(50)]
    assert [other.draw(number) for number in reversed(range(50))] == draws[::-1]
    assert draws != [campaign(tmp_path, seed=4).draw(number) for number in range(50)]
    assert {kind for kind, _, _ in draws} == {"controller", "worker", "server"}
    assert all(seconds > 0.0 and 0.0 <= choice < 1.0 for _, seconds, choice in draws)


def test_kinds_and_times_are_drawn_at_their_stated_rates(tmp_path: Path) -> None:
    draws = [campaign(tmp_path).draw(number) for number in range(4_000)]
    # Weights 5, 3 and 2 of 10; three standard errors of a share of one half are 0.024.
    shares = {kind: sum(d[0] == kind for d in draws) / 4_000 for kind in Local.weights}
    assert shares == pytest.approx({"worker": 0.5, "controller": 0.3, "server": 0.2}, abs=0.024)
    # The mean of an exponential draw has a standard error of mean / sqrt(n).
    mean = sum(seconds for _, seconds, _ in draws) / 4_000
    assert mean == pytest.approx(MEAN_SECONDS, abs=3 * MEAN_SECONDS / 4_000**0.5)


def test_a_torn_line_of_the_campaigns_journal_costs_only_itself(tmp_path: Path) -> None:
    found = campaign(tmp_path)
    found.note("kill", number=0, kind="worker")
    with found.journal.open("a") as file:
        file.write('{"what": "kill", "num')
    assert [record["number"] for record in found.records("kill")] == [0]


def start(state: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "campaign.py"), str(state), "--study", str(SMOKE)]
    command += ["--kills", "3", "--seed", str(SEED), "--mean-seconds", str(MEAN_SECONDS)]
    command += [word for value in SMALL for word in ("--set", value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ABLATE_TEST": str(state)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_three_kills_of_the_smoke_study_leave_its_bytes_and_an_interrupted_campaign_goes_on(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    records = campaign(state).records
    first = start(state)
    try:
        while not records("kill") and first.poll() is None:
            time.sleep(0.02)
    finally:
        first.send_signal(signal.SIGTERM)
        first.communicate()
    assert records("kill") and not marked(f"ABLATE_TEST={state}")
    said, _ = start(state).communicate()
    table = said.decode()
    assert "problems              0\n" in table and "kills                 3: " in table
    kills = records("kill")
    assert [kill["number"] for kill in kills] == [0, 1, 2]
    assert [kill["kind"] for kill in kills] == [campaign(state).draw(n)[0] for n in range(3)]
    assert all(record["jobs"] > 5 and record["files"] > 5 for record in records("round"))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two jobs with two attempts each, as a campaign leaves it."""
    root = tmp_path / "store"
    for name in ("aa", "bb"):
        folder = root / "artifacts" / "sft" / name
        folder.mkdir(parents=True)
        (folder / "weights").write_text(f"weights of {name}")
        files = {"weights": {"size": 13, "sha256": sha256(folder / "weights")}}
        (folder / "manifest.json").write_text(json.dumps({"files": files}))
        for number, record in enumerate(({"status": "failed"}, {"status": "ok", "files": files})):
            attempt = root / "attempts" / name / str(number + 1)
            attempt.mkdir(parents=True)
            (attempt / "request.json").write_text("{}")
            (attempt / "exit.json").write_text(json.dumps(record))
    return root


def judged(store: Path, expected: oracle.Contents) -> list[str]:
    found = [*oracle.differences(expected, oracle.contents(store)), *oracle.lying_manifests(store)]
    return [*found, *oracle.second_results(store)]


def test_of_a_store_that_is_well_nothing_is_said(store: Path) -> None:
    assert judged(store, oracle.contents(store)) == []
    assert oracle.committed(store) == {"sft/aa", "sft/bb"}
    assert oracle.attempts(store) == {"aa": 2, "bb": 2}


def lose(store: Path) -> None:
    shutil.rmtree(store / "artifacts/sft/aa")


def add(store: Path) -> None:
    (store / "artifacts/sft/aa/more").write_text("")


def change(store: Path) -> None:
    (store / "artifacts/sft/aa/weights").write_text("weights of ab")


def lie(store: Path) -> None:
    path = store / "artifacts/sft/bb/manifest.json"
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))


def twice(store: Path) -> None:
    files = {"weights": {"size": 13, "sha256": "of other bytes"}}
    path = store / "attempts/bb/1/exit.json"
    path.write_text(json.dumps({"status": "ok", "files": files}))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lose, ["missing: sft/aa/weights"]),
        (add, ["too many: sft/aa/more"]),
        (change, ["different: sft/aa/weights", "aa/weights: "]),
        (lie, ["bb/weights: "]),
        (twice, ["bb: 2 different results"]),
    ],
)
def test_harm_to_a_store_is_noticed_and_named(
    store: Path, harm: Callable[[Path], None], said: list[str]
) -> None:
    expected = oracle.contents(store)
    harm(store)
    found = judged(store, expected)
    assert len(found) == len(said)
    assert all(line.startswith(start) for line, start in zip(found, said, strict=True))


def test_a_lost_commit_and_a_process_that_stayed_are_noted(store: Path) -> None:
    found = campaign(store.parent / "state")
    before = oracle.committed(store)
    (store / "artifacts/sft/bb/manifest.json").unlink()
    environment = {**os.environ, "ABLATE_CAMPAIGN": found.mark}
    orphan = subprocess.Popen(["sleep", "600"], env=environment)
    while not marked(found.mark):
        time.sleep(0.01)
    found.look(store, before, orphans=True, patience_seconds=0.1)
    assert orphan.wait() == -signal.SIGKILL
    assert found.problems == ["store: lost commit sft/bb", f"store: orphan {orphan.pid}"]
