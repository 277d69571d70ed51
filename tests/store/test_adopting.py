"""Artifacts that were computed elsewhere, and the commands that keep house."""

import json
import shutil
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import evaluation, pairs, run, training

from ablate.cli.main import main
from ablate.errors import SurroundingsError
from ablate.execution.book import JobState
from ablate.store.adopting import ENGINE, adopt
from ablate.store.gc import GcOptions, sweep
from ablate.store.layout import Store
from ablate.store.trash import Trash

POLICY = training("mine", pairs())
ORIGIN = {"path": "/data/sft", "sha256": "ab" * 32, "note": "two epochs elsewhere"}


def write(work: Path) -> None:
    (work / "model").mkdir()
    (work / "model" / "model.safetensors").write_bytes(b"weights")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    adopt(store, POLICY, write, study="mine", origin=ORIGIN)
    return store


def test_an_adopted_artifact_says_where_it_is_from(store: Store) -> None:
    manifest = store.intact("sft", POLICY.fingerprint, hashes=True)
    assert manifest is not None and manifest.engine == ENGINE and manifest.adopted is not None
    assert {name: manifest.adopted[name] for name in ORIGIN} == ORIGIN
    assert manifest.adopted["by"] and abs(manifest.adopted["when"] - time.time()) < 600
    assert list(manifest.files) == ["model/model.safetensors"]
    assert manifest.inputs == {"model": pairs().fingerprint}


def test_a_study_goes_on_from_what_was_adopted(store: Store) -> None:
    outcome = run(store, [evaluation(POLICY)])
    assert outcome.complete and outcome.states[POLICY.fingerprint] is JobState.CACHED


def test_an_artifact_that_is_there_is_not_replaced(store: Store) -> None:
    with pytest.raises(SurroundingsError, match="has this artifact already"):
        adopt(store, POLICY, write, study="mine", origin={"path": "other"})
    manifest = store.manifest("sft", POLICY.fingerprint)
    assert manifest is not None and manifest.adopted is not None
    assert manifest.adopted["path"] == "/data/sft"


def test_what_is_refused_leaves_no_artifact_and_no_claim(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def refuse(work: Path) -> None:
        write(work)
        raise SurroundingsError("it does not fit")

    with pytest.raises(SurroundingsError, match="it does not fit"):
        adopt(store, POLICY, refuse, study="mine", origin=ORIGIN)
    assert not store.artifact("sft", POLICY.fingerprint).exists()
    assert store.attempts(POLICY.fingerprint) == []
    adopt(store, POLICY, write, study="mine", origin=ORIGIN)
    assert store.has("sft", POLICY.fingerprint)


def test_a_link_is_not_adopted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def link(work: Path) -> None:
        (work / "model").symlink_to(tmp_path)

    with pytest.raises(ValueError, match="not a regular file"):
        adopt(store, POLICY, link, study="mine", origin=ORIGIN)
    assert not store.artifact("sft", POLICY.fingerprint).exists()


def test_a_job_that_a_study_works_on_is_not_adopted(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.create()
    claim = store.claim(POLICY.fingerprint)
    assert claim.acquire()
    with pytest.raises(SurroundingsError, match="a study works on this job now"):
        adopt(store, POLICY, write, study="mine", origin=ORIGIN)
    claim.release()


def test_what_was_adopted_is_never_collected(store: Store) -> None:
    found, _ = sweep(store, GcOptions(drop_weights=("sft",)))
    assert [item.kind for item in found.items] == ["attempts"]
    assert [kept.why for kept in found.kept] == ["adopted"]
    assert store.has("sft", POLICY.fingerprint)


STUDY = (
    "study: s\nseeds: 1\nbase: {model: tiny-instruct, dataset: ai-fine}\ngrid: {algorithm: [dpo]}\n"
)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--cell", "sf", "--stage", "sft"], 2, "--cell: 'sf' is no cell"),
        (["--cell", "dpo", "--stage", "stf"], 2, "--stage: 'stf' is not one of sft, policy."),
        (["--cell", "dpo", "--stage", "reward_model"], 2, "also holds its scale"),
        (["--cell", "dpo", "--stage", "sft", "--seed", "9"], 2, "has the seeds 0"),
        (["--cell", "dpo", "--stage", "sft"], 3, "is not in the store yet"),
    ],
)
def test_what_cannot_be_adopted_is_said(
    words: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(STUDY)
    Path("mine").mkdir()
    assert main(["adopt", "mine", "s.yaml", *words]) == code
    assert message in capsys.readouterr().err


def test_the_command_moves_says_what_and_brings_back(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(store, [evaluation(POLICY)], name="mine").complete
    at = ["--store", str(store.root)]
    shutil.rmtree(store.study("mine"))
    assert main(["gc", "--dry-run", *at]) == 0
    said = capsys.readouterr().out
    assert "would go to the trash" in said and "stays: 1 adopted" in said
    assert store.has("preferences", pairs().fingerprint)
    assert main(["gc", "--json", *at]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {item["kind"] for item in document["items"]} == {"artifact", "attempts"}
    assert len(document["set_aside"]) == len(document["items"])
    assert document["bytes"] == sum(item["bytes"] for item in document["items"])
    assert not store.has("preferences", pairs().fingerprint)
    assert main(["gc", "--trash", *at]) == main(["gc", "--undo", *at]) == 0
    assert store.has("preferences", pairs().fingerprint)
    assert main(["gc", *at]) == main(["gc", "--empty-trash", "--older", "7d", *at]) == 0
    assert Trash(store.root).entries()
    assert main(["gc", "--empty-trash", *at]) == 0
    assert Trash(store.root).entries() == []
    capsys.readouterr()
    assert main(["gc", "--undo", *at]) == main(["gc", "--remove", "mine", *at]) == 3
    assert main(["gc", "--older", "7d", *at]) == 2
    assert "nothing was set aside" in capsys.readouterr().err
