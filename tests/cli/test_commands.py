"""What a user types and sees: exit codes, messages, JSON, plain output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli.main import COMMANDS, main

SMALL = """
study: small
base: {model: tiny-instruct}
rows: [base, sft]
baseline: sft
seeds: 1
grid:
  dataset: [ai-fine]
  algorithm: [dpo, ppo]
"""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("small.yaml").write_text(SMALL)
    return "small.yaml"


def ablate(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ablate", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, **env}
    )


def test_help_names_every_command_and_exit_code(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    assert all(command in text for command in COMMANDS)
    assert "4 some jobs failed" in " ".join(text.split())


def test_an_unknown_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["paln"])
    assert ended.value.code == 2


def test_init_writes_studies_that_pass_the_check(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert main(["check", "study.yaml"]) == main(["check", "smoke.yaml"]) == 0
    assert "study.yaml: ok, 6 cells" in capsys.readouterr().out


def test_init_never_overwrites(study, capsys):
    Path("study.yaml").write_text("mine")
    assert main(["init"]) == 3
    assert "study.yaml exists already" in capsys.readouterr().err
    assert Path("study.yaml").read_text() == "mine"
    assert not Path("smoke.yaml").exists()


def test_a_mistake_in_the_file_exits_with_2_and_says_where(study, capsys):
    Path("bad.yaml").write_text(SMALL.replace("[dpo, ppo]", "[dpo, pppo]"))
    assert main(["check", "bad.yaml"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("bad.yaml:9:20: grid.algorithm[1]: 'pppo'")
    assert "Did you mean 'ppo'?" in message


def test_a_missing_file_exits_with_3_and_names_those_there_are(study, capsys):
    assert main(["plan", "smal.yaml"]) == 3
    assert "small.yaml" in capsys.readouterr().err


def test_plan_prints_the_grid_the_stages_and_what_sharing_saves(study, capsys):
    assert main(["plan", study]) == 0
    text = capsys.readouterr().out
    assert "4 cells × 1 seed = 4 runs" in text
    # Base 2 jobs, sft 5, dpo 9 and ppo 10 alone; together 15.
    assert "sharing saves 11 of 26 jobs" in text
    assert "estimated wall time" in text and "memory" in text and "disk" in text


def test_plan_lists_the_order_when_asked(study, capsys):
    main(["plan", study, "--order"])
    order = capsys.readouterr().out.partition("order:\n")[2].split()
    assert len(order) == 15
    assert order[0].startswith("demonstrations-") and order[1].startswith("preferences-")


def test_plan_compares_two_files(study, capsys):
    Path("more.yaml").write_text(SMALL.replace("[ai-fine]", "[ai-fine, web-narrow]"))
    assert main(["plan", "more.yaml", "--diff", study]) == 0
    text = capsys.readouterr().out
    assert "cells added: web-narrow, dpo, web-narrow, ppo" in text
    assert "jobs dropped: 0" in text


def test_set_overrides_a_field(study, capsys):
    assert main(["plan", study, "--set", "seeds=3"]) == 0
    assert "4 cells × 3 seeds = 12 runs" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["check"], ["plan"], ["plan", "--diff", "small.yaml"]])
def test_json_is_one_document(study, capsys, command):
    assert main([command[0], study, "--json", *command[1:]]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_schema_is_a_json_schema(capsys):
    assert main(["schema"]) == 0
    assert "grid" in json.loads(capsys.readouterr().out)["properties"]


def test_status_without_a_study_says_what_to_do(study, capsys):
    assert main(["status"]) == 3
    assert "ablate run FILE" in capsys.readouterr().err


def test_logs_and_report_of_a_study_that_never_ran_say_so(study, capsys):
    assert main(["logs", "x"]) == 3
    assert main(["report", study]) == 3
    assert "ablate run small.yaml" in capsys.readouterr().err


def test_plan_leaves_nothing_behind(study, tmp_path):
    main(["plan", study])
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_output_that_is_not_a_terminal_has_no_escape_codes(study, tmp_path):
    done = ablate("plan", study, cwd=tmp_path)
    assert done.returncode == 0
    assert "\033" not in done.stdout + done.stderr


def test_a_reader_that_goes_away_is_no_error(study, tmp_path):
    command = f"{sys.executable} -m ablate plan {study} --order | head -n 1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("study small\n", "")


def test_a_store_in_place_of_a_file_is_refused(study, capsys):
    Path("store").write_text("a file")
    assert main(["run", study, "--store", "store", "--no-tracking"]) == 3
    assert "store" in capsys.readouterr().err


def test_a_namesake_that_owns_the_same_package_is_warned_about(study, tmp_path):
    metadata = tmp_path / "other" / "ablate-0.2.3.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: ablate\nVersion: 0.2.3\n")
    done = ablate("check", study, cwd=tmp_path, PYTHONPATH=str(tmp_path / "other"))
    assert done.returncode == 0
    assert "'ablate' 0.2.3 is installed beside 'ablate-studies'" in done.stderr
