import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from ablate.models.loading import LoadedModel, load_policy, new_reward_model, save_model
from ablate.spec.config import Config
from ablate.store.workspace import Workspace

from .artifacts import Stage, write_policy


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policy"), seed=1)


@pytest.fixture(scope="session")
def reference_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("reference"), seed=2)


@pytest.fixture(scope="session")
def reward_model_folder(tmp_path_factory: pytest.TempPathFactory, policy_folder: Path) -> Path:
    folder = tmp_path_factory.mktemp("reward_model")
    loaded = new_reward_model(policy_folder / "model", layers=None, seed=3)
    save_model(loaded.model, loaded.tokenizer, folder / "model")
    (folder / "reward.json").write_text('{"gain": 1.0, "bias": 0.0}')
    return folder


@pytest.fixture(scope="session")
def policy(policy_folder: Path) -> LoadedModel:
    return load_policy(policy_folder / "model")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a maker of workspaces, each with an empty output folder."""

    def make(name: str, config: Config, inputs: Mapping[str, Path]) -> Workspace:
        output, scratch = tmp_path / name / "output", tmp_path / name / "scratch"
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        output.mkdir(parents=True)
        scratch.mkdir()
        return Workspace(name, config, inputs, output, scratch)

    return make
