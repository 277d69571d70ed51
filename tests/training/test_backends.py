"""Stages trained elsewhere: by a command through the contract, and by TRL."""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from training_toys import RUNS, Toy, dpo_config, metrics, reward_config

from ablate.errors import StageError
from ablate.models.loading import load_policy
from ablate.spec.commands import command_name
from ablate.spec.config import Config
from ablate.spec.local_files import find_file
from ablate.spec.names import LocalFile
from ablate.spec.training import TrainingConfig
from ablate.store.attempts import Attempt, new_attempt
from ablate.store.workspace import METRICS
from ablate.training.backends.acceptance import accept_metrics
from ablate.training.backends.process import Command, command_environment, run_command
from ablate.training.backends.stage import run_elsewhere

EXAMPLE = Path(__file__).parents[2] / "studies" / "command_backend" / "train.py"
COPIES = """
import json, pathlib, shutil, sys
job = json.loads(pathlib.Path(sys.argv[1]).read_text())
output = pathlib.Path(job["output"])
shutil.copytree(job["model"], output / "model")
(output / "metrics.jsonl").write_text('{"step": 0, "loss": 1.5}\\n')
(output / "result.json").write_text('{"schema": 1, "status": "ok"}')
"""
"""A script that trains nothing and hands back what it was given."""


def commanded(config: Callable[..., Config], folder: Path, script: str, **fields: Any) -> Config:
    """Return a configuration whose command is a script in ``folder``, as the loader makes it."""
    (folder / "train.py").write_text(script)
    command = ("{python}", "train.py", "{job}")
    found = find_file("command", command_name(command), folder)
    assert isinstance(found, LocalFile)
    return config(
        backend="command",
        command=command,
        command_content=found.content,
        command_location=found.location,
        **fields,
    )


def weights(folder: Path) -> Mapping[str, torch.Tensor]:
    found: Mapping[str, torch.Tensor] = safetensors.torch.load_file(
        folder / "model" / "model.safetensors"
    )
    return found


def refusal(toy: Toy, folder: Path, script: str, **fields: Any) -> str:
    """Return the message with which a job refuses what a script did."""
    with pytest.raises(StageError) as raised:
        toy.run("policy", commanded(dpo_config, folder, script, **fields))
    return str(raised.value)


def test_a_plain_script_trains_a_policy_that_looks_like_a_native_one(
    toy: Toy, tmp_path: Path
) -> None:
    """48 pairs in six batches of eight for two epochs are twelve steps."""
    config = commanded(dpo_config, tmp_path, EXAMPLE.read_text(), learning_rate=1e-3)
    done = toy.run("policy", config)
    native = toy.run("policy", dpo_config(epochs=1))
    assert {p.name for p in done.output.iterdir()} == {p.name for p in native.output.iterdir()}
    for path in (native.output / "model").iterdir():
        same = path.read_bytes() == (done.output / "model" / path.name).read_bytes()
        assert same == (path.suffix != ".safetensors"), path.name
    lines = metrics(done)
    assert [line["step"] for line in lines] == list(range(12))
    assert lines[-1]["loss"] < lines[0]["loss"] == pytest.approx(0.693, abs=1e-3)
    assert done.counts["preferences"] == 48.0 and done.counts["trained_tokens"] > 0
    assert done.numerics["backend"] == "command" and not (done.scratch / "job").exists()


def test_a_script_that_cannot_train_the_stage_says_so_in_its_own_words(
    toy: Toy, tmp_path: Path, in_process: Any
) -> None:
    script = EXAMPLE.read_text()
    config = commanded(reward_config, tmp_path, script)
    assert isinstance(config, TrainingConfig)
    with pytest.raises(StageError, match="this script trains sft, dpo, not reward_model"):
        run_elsewhere(toy.workspace("reward_model", config), config, in_process(script))


def test_the_job_says_all_that_is_needed_and_the_environment_holds_no_secret(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("SOME_PASSWORD", "secret")
    script = f"""
import os, pathlib, sys
text = pathlib.Path(sys.argv[1]).read_text()
here = pathlib.Path({str(tmp_path)!r})
(here / "job.json").write_text(text)
(here / "environment").write_text("\\n".join(f"{{k}}={{v}}" for k, v in os.environ.items()))
(here / "folder").write_text(os.getcwd())
{COPIES}"""
    done = toy.run("policy", commanded(dpo_config, tmp_path, script, seed=7))
    job = json.loads((tmp_path / "job.json").read_text())
    assert (job["schema"], job["stage"], job["algorithm"], job["seed"]) == (1, "policy", "dpo", 7)
    assert job["config"]["beta"] == 0.1 and job["data"]["prompts"] is None
    assert job["model"] == job["reference"] == str(toy.artifacts["policy"] / "model")
    assert "secret" not in (tmp_path / "environment").read_text()
    assert (tmp_path / "folder").read_text() == str(done.scratch / "job")


def test_the_data_is_rendered_and_tokenized_by_the_one_boundary(toy: Toy, tmp_path: Path) -> None:
    script = "import json, pathlib, sys, shutil\n"
    script += "job = json.loads(pathlib.Path(sys.argv[1]).read_text())\n"
    script += f"shutil.copy(job['data']['pairs'], {str(tmp_path / 'pairs.jsonl')!r})\n" + COPIES
    toy.run("policy", commanded(dpo_config, tmp_path, script))
    boundary = load_policy(toy.artifacts["policy"] / "model").boundary
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert len(rows) == 48
    for row in rows[:5]:
        assert tuple(row["prompt_ids"]) == boundary.prompt_ids(row["messages"])
        assert tuple(row["chosen_ids"]) == boundary.completion_ids(row["chosen"])
        assert row["chosen_ids"][-1] == boundary.end_id and row["reference_chosen_logp"] < 0


BROKEN = {
    "sys.exit(3)": "exit status 3; 0 is needed. See the job's log: ablate logs. It said nothing",
    "os.kill(os.getpid(), 9)": "it ended with signal 9",
    "(output / 'result.json').unlink()": "result.json: no such file in the output folder",
    "(output / 'result.json').write_text('{')": "result.json: no JSON",
    "(output / 'result.json').write_text('{\"schema\": 1}')": "result.json: status: Field required",
    '(output / \'result.json\').write_text(\'{"schema": 9, "status": "ok"}\')': "reads 1",
    "shutil.rmtree(output / 'model')": "model holds nothing; config.json and *.safetensors",
    "(output / 'model' / 'config.json').write_text('[]')": "config.json is no mapping",
    "(output / 'model' / 'model.safetensors').write_bytes(b'x')": "model cannot be loaded",
    "(output / 'model' / 'tokenizer.json').unlink()": "save the tokenizer there",
    "(output / 'metrics.jsonl').unlink()": "no metrics.jsonl; one JSON object a line",
    "(output / 'metrics.jsonl').write_text('loss 1')": "metrics.jsonl, line 1: Expecting value",
    "(output / 'metrics.jsonl').write_text('{\"loss\": 1}')": "metrics.jsonl, line 1: no step",
    "(output / 'extra').symlink_to('/etc')": "extra is a link; plain files are needed",
    "os.mkfifo(output / 'pipe')": "pipe is no plain file",
    "shutil.rmtree(output); output.symlink_to('/tmp')": "the folder itself was replaced",
    "pickled()": "Pickled weights are never opened",
    "coded()": "config.json has auto_map; code of a model folder is never run",
    "renamed()": "missing keys, ",
    "spoiled()": "is not finite",
}
HELPERS = """
import os
def pickled():
    (output / "model" / "model.safetensors").rename(output / "model" / "pytorch_model.bin")
def coded():
    path = output / "model" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": {"AutoConfig": "x.Y"}}))
def changed(change):
    import safetensors.torch
    path = output / "model" / "model.safetensors"
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path, {"format": "pt"})
def renamed():
    changed(lambda found: {n.replace("layers.0", "layers.9"): w for n, w in found.items()})
def spoiled():
    changed(lambda found: {n: w / 0 for n, w in found.items()})
"""


@pytest.fixture(scope="module")
def in_process() -> Callable[[str], Callable[..., None]]:
    """Return what runs a script's text here, where a child of its own would take its time."""

    def with_text(text: str) -> Callable[..., None]:
        def launch(command: Command, between: Callable[[], None]) -> None:
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(sys, "argv", ["train.py", command.arguments[-1]])
                exec(compile(text, "train.py", "exec"), {"__name__": "__main__"})

        return launch

    return with_text


@pytest.mark.parametrize("breaks", BROKEN)
def test_missing_malformed_or_escaping_output_is_named_and_refused(
    toy: Toy, tmp_path: Path, breaks: str, in_process: Any
) -> None:
    script = COPIES + HELPERS + breaks
    if breaks.startswith(("sys.", "os.kill")):
        assert BROKEN[breaks] in refusal(toy, tmp_path, script)
        return
    config = commanded(dpo_config, tmp_path, script)
    assert isinstance(config, TrainingConfig)
    with pytest.raises(StageError) as raised, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_elsewhere(toy.workspace("policy", config), config, in_process(script))
    assert BROKEN[breaks] in str(raised.value)


def test_a_tokenizer_that_cuts_otherwise_is_refused(
    toy: Toy, tmp_path: Path, in_process: Any
) -> None:
    script = COPIES + (
        "path = output / 'model' / 'chat_template.jinja'\n"
        "path.write_text(path.read_text() + '{{ eos_token }}')\n"
    )
    config = commanded(dpo_config, tmp_path, script)
    assert isinstance(config, TrainingConfig)
    with pytest.raises(StageError, match="gives other ids than the one handed out"):
        run_elsewhere(toy.workspace("policy", config), config, in_process(script))


def test_a_changed_script_and_an_unknown_program_are_refused_before_anything_runs(
    toy: Toy, tmp_path: Path
) -> None:
    config = commanded(dpo_config, tmp_path, COPIES)
    (tmp_path / "train.py").write_text("raise SystemExit")
    with pytest.raises(StageError, match="changed since the study was planned. Run the study"):
        toy.run("policy", config)
    with pytest.raises(StageError, match="'no-such-program' is no program that can be run"):
        run_command(Command(["no-such-program"], tmp_path))


def test_the_last_words_of_a_failed_command_are_part_of_the_message(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="exit status 1; .* Its last words: one . two$"):
        run_command(Command(["sh", "-c", "echo one; echo two >&2; exit 1"], tmp_path))
    with pytest.raises(StageError) as raised:
        run_command(Command(["sh", "-c", "echo CUDA out of memory; exit 1"], tmp_path))
    assert raised.value.kind == "out_of_memory"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("how", ["timeout", "stopped", "finished"])
def test_no_process_of_a_command_outlives_it(tmp_path: Path, how: str) -> None:
    """A grandchild in a session of its own is found as well: it was adopted."""
    script = "setsid sleep 600 & echo $! > pids; sleep 600 & echo $! >> pids; "
    script += "true" if how == "finished" else "sleep 600"

    def between() -> None:
        pids = tmp_path / "pids"
        if how == "stopped" and pids.exists() and len(pids.read_text().splitlines()) == 2:
            raise StageError("stopped after a checkpoint, as asked", kind="preempted")

    command = Command(["sh", "-c", script], tmp_path, 4.0 if how == "timeout" else None)
    if how == "finished":
        run_command(command, between)
    else:
        words = "more than 4 seconds and was killed" if how == "timeout" else "as asked"
        with pytest.raises(StageError, match=words):
            run_command(command, between)
    seen = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(seen) == 2 and not any(map(alive, seen))


def test_a_command_dies_with_the_job_that_is_killed(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            run_command(Command(["sh", "-c", "echo $$ > pid; sleep 600"], tmp_path))
        finally:
            os._exit(1)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
        time.sleep(0.01)
    pid = int((tmp_path / "pid").read_text())
    os.kill(child, 9)
    os.waitpid(child, 0)
    while alive(pid):  # The test's own time limit is the verdict.
        time.sleep(0.01)


def test_only_listed_variables_reach_a_command() -> None:
    found = command_environment(
        {"PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "x", "HF_HUB_OFFLINE": "0"}
    )
    assert found["PATH"] == "/bin" and "AWS_SECRET_ACCESS_KEY" not in found
    assert found["HF_HUB_OFFLINE"] == "0" and found["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_metrics_are_numbers_and_times_are_left_out(toy: Toy, tmp_path: Path) -> None:
    lines = ['{"step": 0, "a": NaN, "b": 1, "c": "x", "d": true, "train_runtime": 3.1, "e": null}']
    (tmp_path / METRICS).write_text("\n".join([*lines, "", '{"step": 1, "a": Infinity}']))
    workspace = toy.workspace("policy", dpo_config())
    assert accept_metrics(workspace, tmp_path) == 2
    assert metrics(workspace) == [
        {"step": 0, "a": None, "b": 1.0, "e": None},
        {"step": 1, "a": None},
    ]


def test_a_commands_own_checkpoint_reaches_the_next_attempt(tmp_path: Path) -> None:
    first = new_attempt(tmp_path, 1, carry=None)
    (first.scratch / "checkpoint" / "step-4").mkdir(parents=True)
    (first.scratch / "checkpoint" / "step-4" / "weights").write_text("w")
    (first.scratch / "checkpoint" / "link").symlink_to("/etc")
    (first.scratch / "job").mkdir()
    second: Attempt = new_attempt(tmp_path, 2, carry=first)
    assert (second.scratch / "checkpoint" / "step-4" / "weights").read_text() == "w"
    assert (second.scratch / "checkpoint" / "link").is_symlink()
    assert not (second.scratch / "job").exists()


def test_a_whole_checkpoint_is_reported_while_the_command_runs(toy: Toy, tmp_path: Path) -> None:
    script = "import time, json, pathlib, sys\n"
    script += "job = json.loads(pathlib.Path(sys.argv[1]).read_text())\n"
    script += "(pathlib.Path(job['checkpoint']) / 'complete').write_text('1')\ntime.sleep(600)\n"
    workspace = toy.workspace("policy", commanded(dpo_config, tmp_path, script))

    def report(event: Mapping[str, Any]) -> None:
        assert event == {"event": "checkpoint"}
        raise StageError("stopped after a checkpoint, as asked", kind="preempted")

    workspace.report = report
    with pytest.raises(StageError) as raised:
        RUNS["policy"](workspace)
    assert raised.value.kind == "preempted"
    assert (workspace.scratch / "checkpoint" / "complete").exists()


def test_an_equalized_arm_must_count_what_it_spends_and_stay_below_it(
    toy: Toy, tmp_path: Path, in_process: Any
) -> None:
    budget = {"unit": "generated_tokens", "amount": 100}
    for counts, words in (("{}", "is not there"), ('{"generated_tokens": 101}', "is 101")):
        result = f'{{"schema": 1, "status": "ok", "counts": {counts}}}'
        script = COPIES + f"(output / 'result.json').write_text({result!r})\n"
        config = commanded(dpo_config, tmp_path, script, budget=budget)
        assert isinstance(config, TrainingConfig)
        with pytest.raises(StageError, match=f"counts.generated_tokens {words}; the study equal"):
            run_elsewhere(toy.workspace("policy", config), config, in_process(script))
