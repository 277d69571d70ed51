"""Which trackers are chosen, and what a user reads when one cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ablate.cli.main import main
from ablate.errors import StudyError, SurroundingsError
from ablate.tracking.events import RunFinished, RunStarted
from ablate.tracking.outbox import Outbox
from ablate.tracking.process import Sinks, drain, pending
from ablate.tracking.targets import (
    NAMES,
    check_installed,
    chosen,
    last_chosen,
    remember_chosen,
    target,
)

STUDY = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine}\ngrid: {algorithm: [dpo]}\n"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABLATE_TRACK", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ("mlflow",)),
        ("wandb, tensorboard,wandb", ("wandb", "tensorboard")),
        ("none", ()),
        ("", ("mlflow",)),
    ],
)
def test_names_are_read_in_order_and_each_once(text: str | None, names: tuple[str, ...]) -> None:
    assert chosen(text) == names


def test_the_environment_chooses_where_the_command_line_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ABLATE_TRACK", "tensorboard")
    assert chosen(None) == ("tensorboard",) and chosen("wandb") == ("wandb",)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(StudyError, match="--track: 'tensorbord' is not one of .*'tensorboard'"):
        chosen("tensorbord")


def test_a_package_that_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed(NAMES)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        SurroundingsError, match=r"wandb is not installed.*'ablate-studies\[wandb\]'"
    ):
        check_installed(NAMES)


def test_a_run_with_a_tracker_that_is_missing_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(STUDY)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert main(["run", "s.yaml", "--track", "tensorboard"]) == 3
    assert "pip install 'ablate-studies[tensorboard]'" in capsys.readouterr().err
    assert main(["run", "s.yaml", "--track", "mlfow"]) == 2
    assert not Path(".ablate").exists()


def test_what_is_left_goes_where_the_last_run_went(tmp_path: Path) -> None:
    assert last_chosen(tmp_path, "s") == ()
    Outbox(tmp_path, "s").close()  # Of a version that knew MLflow only.
    assert last_chosen(tmp_path, "s") == ("mlflow",)
    remember_chosen(tmp_path, "s", ["tensorboard"])
    assert last_chosen(tmp_path, "s") == ("tensorboard",)


def test_a_study_with_nothing_new_starts_no_process(tmp_path: Path) -> None:
    sinks = Sinks(tmp_path, "s", ["tensorboard"])
    outbox = Outbox(tmp_path, "s", wake=sinks.wake)
    outbox.append(RunFinished("a/0/k"))
    assert sinks.close(seconds=60.0) == []
    again = Sinks(tmp_path, "s", ["tensorboard"])
    Outbox(tmp_path, "s", wake=again.wake).append(RunFinished("a/0/k"))
    assert (again.close(seconds=60.0), again.running) == ([], 0)


def test_files_that_a_user_deleted_are_written_again(tmp_path: Path) -> None:
    Outbox(tmp_path, "s").append(RunStarted("a/0/k", "a", 0, {}))
    assert drain(tmp_path, "s", ["tensorboard"], seconds=60.0) == []
    folder = target("tensorboard", tmp_path, "s").made
    assert folder is not None and pending(tmp_path, "s", "tensorboard").events == 0
    folder.rename(tmp_path / "elsewhere")
    assert pending(tmp_path, "s", "tensorboard").events == 1
