from __future__ import annotations

from pathlib import Path

import pytest

from ablate.reporting.records import StudyRecord

from . import builders


@pytest.fixture(scope="session")
def ladder_study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return builders.ladder(tmp_path_factory.mktemp("ladder"))


@pytest.fixture(scope="session")
def grid_study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return builders.grid(tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="session")
def reward_study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    return builders.reward_models(tmp_path_factory.mktemp("reward"))


@pytest.fixture(scope="session")
def one_seed_study(tmp_path_factory: pytest.TempPathFactory) -> StudyRecord:
    root: Path = tmp_path_factory.mktemp("one-seed")
    return builders.grid(root, builders.Size(seeds=1))
