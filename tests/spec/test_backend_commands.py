"""A command of one's own is part of the study: its files are found, hashed and relocated."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablate.errors import StudyError
from ablate.plan.cells import expand
from ablate.spec.commands import command_name, command_of, file_arguments, filled
from ablate.spec.load import LoadedStudy, load_study

STUDY = """
study: own-script
base:
  model: tiny-instruct
  dataset: ai-fine
  algorithm: dpo
  dpo: {{backend: {backend}, {fields}}}
cells: {{one: {{}}}}
"""


def loaded(folder: Path, fields: str, *, backend: str = "command") -> LoadedStudy:
    path = folder / "study.yaml"
    path.write_text(STUDY.format(backend=backend, fields=fields))
    return load_study(path)


def planned(study: LoadedStudy) -> dict[str, object]:
    cell = next(iter(expand(study)))
    assert cell.recipe.policy is not None
    return dict(cell.recipe.policy)


def test_arguments_written_as_paths_are_files_and_others_are_not() -> None:
    command = ["python", "train.py", "{job}", "./lib", "--config=a.yaml", "-c", "sft", "{output}/x"]
    found = [(f.position, f.option, f.path) for f in file_arguments([*command, "http://a/b.json"])]
    assert found == [(1, "", "train.py"), (3, "", "./lib"), (4, "--config=", "a.yaml")]


def test_placeholders_are_replaced_wherever_they_stand() -> None:
    values = {"job": "J", "output": "O", "python": "P"}
    assert filled(["{python}", "--job={job}", "{output}/x"], values) == ["P", "--job=J", "O/x"]
    assert command_of(command_name(["a", "é {job}"])) == ["a", "é {job}"]


def test_a_scripts_content_bears_identity_and_its_place_does_not(tmp_path: Path) -> None:
    contents = {}
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.py").write_text(text)
        config = planned(loaded(tmp_path / name, 'command: [python, train.py, "{job}"]'))
        assert config["command_location"] == str(tmp_path / name)
        contents[name] = config["command_content"]
    assert contents["a"] == contents["b"] != contents["c"]


def test_a_folder_of_code_counts_without_its_caches(tmp_path: Path) -> None:
    (tmp_path / "lib" / "__pycache__").mkdir(parents=True)
    (tmp_path / "lib" / "loss.py").write_text("1")
    before = planned(loaded(tmp_path, 'command: [python, ./lib, "{job}"]'))["command_content"]
    (tmp_path / "lib" / "__pycache__" / "loss.pyc").write_text("x")
    cached = planned(loaded(tmp_path, 'command: [python, ./lib, "{job}"]'))["command_content"]
    (tmp_path / "lib" / "loss.py").write_text("2")
    after = planned(loaded(tmp_path, 'command: [python, ./lib, "{job}"]'))["command_content"]
    assert before == cached != after


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ('command: [python, gone.py, "{job}"]', "study.yaml:7:36: base.dpo.command: 'gone.py': no"),
        ('command: [python, "{jobs}"]', "'{jobs}' is not one of {job}, {output}, {python}. Did"),
        ("beta: 0.1", "the backend 'command' needs `command`"),
    ],
)
def test_mistakes_of_a_command_are_study_errors_with_their_place(
    tmp_path: Path, fields: str, words: str
) -> None:
    with pytest.raises(StudyError) as raised:
        planned(loaded(tmp_path, fields))
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("section", "fields", "words"),
    [
        ("ppo", "", "TRL has no PPO since 1.13"),
        ("simpo", "", "the backend 'trl' trains sft, reward_model, dpo, kto, rloo, grpo"),
        ("grpo", ", kl_estimator: k1", "'k1', but TRL has 'k3'"),
        ("rloo", ", kl_target: 6.0", "6.0, an adaptive KL coefficient"),
        ("rloo", ", logprob_temperature: 0.5", "0.5 beside a sampling temperature of"),
        ("rloo", ", rollout_epochs: 2", "'reinforce' with several updates"),
        ("grpo", ", batch_size: 48, rollouts_per_step: 64", "64 is no multiple of"),
    ],
)
def test_what_trl_cannot_train_is_a_study_error(
    tmp_path: Path, section: str, fields: str, words: str
) -> None:
    text = STUDY.format(backend="trl", fields="").replace("dpo", section)
    path = tmp_path / "study.yaml"
    path.write_text(text.replace(", }", f"{fields}}}"))
    with pytest.raises(StudyError) as raised:
        planned(load_study(path))
    assert words in str(raised.value)


def test_an_adapter_wider_than_the_model_is_an_error_for_sft_too(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    text = STUDY.format(backend="native", fields="")
    path.write_text(text.replace("cells:", "  sft: {lora: {rank: 65}}\ncells:"))
    with pytest.raises(StudyError, match="65 is over the model's width of 64"):
        planned(load_study(path))


def test_equal_seconds_cannot_be_trained_by_trl(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    text = STUDY.format(backend="trl", fields="").replace(", }", "}")
    path.write_text(text + "match: {seconds: 60}\n")
    with pytest.raises(StudyError, match="TRL's schedules need the number of steps"):
        planned(load_study(path))
