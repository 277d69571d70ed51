"""What the commands say about a store that is damaged, odd or full."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli.main import main
from ablate.execution.status import study_status
from ablate.store.layout import Store

CELL = "lr@5e-7"
JOB = {"stage": "policy", "fingerprint": "ab12", "kind": "dpo", "size": 1, "model": ""}
NOT_OURS = ["", "{", "[]", "3", '"x"', "{}", '{"jobs": 3, "runs": [{}], "stages": [1]}']
STUDY = "study: s\nbase: {model: tiny-instruct, dataset: ai-fine}\ngrid: {algorithm: [dpo]}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study ``s`` of one cell and one job with two attempts."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(STUDY)
    folder = tmp_path / ".ablate" / "studies" / "s"
    folder.mkdir(parents=True)
    runs = [{"cell": CELL, "jobs": {"policy": "ab12"}}]
    for name in ("runs.json", "plan.json"):
        (folder / name).write_text(json.dumps({"jobs": [JOB], "runs": runs}))
    for number in ("1", "2"):
        attempt = tmp_path / ".ablate" / "attempts" / "ab12" / number
        attempt.mkdir(parents=True)
        (attempt / "request.json").write_text("{}")
        (attempt / "log.txt").write_text(f"attempt {number} says so")
    return folder


@pytest.mark.parametrize("content", NOT_OURS)
@pytest.mark.parametrize("name", ["status.json", "runs.json", "plan.json", "lease"])
def test_a_damaged_record_of_a_study_ends_no_command(folder, capsys, name, content):
    (folder / name).write_text(content)
    assert main(["status", "--timings"]) == main(["plan", "s.yaml"]) == 0
    assert main(["logs", "ab12"]) in (0, 2)
    assert main(["report", "s.yaml"]) == 3


def test_a_damaged_status_reads_as_one_that_was_never_written(folder, capsys):
    (folder / "status.json").write_text('{"state": "ended", "failed": [3]}')
    assert study_status(Store(".ablate"), "s").state == "interrupted"
    main(["status"])
    assert "no word from it" in capsys.readouterr().out


@pytest.mark.parametrize("job", [f"{CELL}@2", f"{CELL}/policy@2", CELL, "ab12@2"])
def test_a_cell_whose_name_has_an_at_sign_has_its_log(folder, capsys, job):
    assert main(["logs", job]) == 0
    assert "attempt 2 says so" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (f"{CELL}@x", "'x' is no attempt; write @1, @2, ..."),
        (f"{CELL}@²", "'²' is no attempt; write @1, @2, ..."),
        (f"{CELL}/polcy", "Did you mean 'policy'?"),
        ("lr@5e-8", f"Did you mean '{CELL}'?"),
    ],
)
def test_a_log_that_the_command_line_misnames_exits_with_2(folder, capsys, job, message):
    assert main(["logs", job]) == 2
    assert message in capsys.readouterr().err


def test_a_study_file_that_never_ran_is_told_from_one_that_did(folder, capsys):
    Path("t.yaml").write_text(STUDY.replace("study: s", "study: t"))
    assert main(["status", "t.yaml"]) == 3
    assert "no study 't'; stored studies: s. Run it first" in capsys.readouterr().err


def test_an_empty_store_has_no_study_to_name(tmp_path, capsys):
    assert main(["logs", "x", "--store", str(tmp_path)]) == 3
    assert "no study was run here. Run one: ablate run FILE." in capsys.readouterr().err


@pytest.mark.parametrize("slots", ["x", "²", "0", "-1", "1.5"])
def test_a_wrong_number_of_slots_names_no_function_of_ours(folder, capsys, slots):
    with pytest.raises(SystemExit) as ended:
        main(["plan", "s.yaml", f"--slots={slots}"])
    assert ended.value.code == 2
    assert f"{slots!r} is not a number from 1 up" in capsys.readouterr().err


def test_a_terminal_without_unicode_loses_characters_and_not_the_command(folder, monkeypatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert main(["plan", "s.yaml"]) == 0
    ascii_only.seek(0)
    assert "1 cell ? 1 seed" in ascii_only.read()


def test_a_json_document_is_whole_without_unicode(folder, monkeypatch):
    Path("u.yaml").write_text(
        STUDY.replace("grid: {algorithm: [dpo]}", "cells: {ü: {algorithm: dpo}}")
    )
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert main(["plan", "u.yaml", "--json", "--diff", "s.yaml"]) == 0
    ascii_only.seek(0)
    assert json.load(ascii_only)["added_cells"] == ["ü"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_to_a_full_disk_exits_with_3_and_no_traceback(folder):
    command = f"{sys.executable} -u -m ablate plan s.yaml > /dev/full"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (
        3,
        "output: the disk is full. Free some space and run the same command again.\n",
    )
