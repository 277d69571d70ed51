from __future__ import annotations

import pytest
import torch
from training_toys import Toy, reward_config, sft_config

from ablate.spec import stages


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Return a toy with a base model, SFT model, pairs, reference and reward model."""
    torch.set_num_threads(1)
    made = Toy(tmp_path_factory.mktemp("toy"))
    shape = {"hidden_size": 16, "layers": 2, "heads": 2, "intermediate_size": 32}
    base_config = stages.EmbeddedModelConfig(**shape, examples=512, learning_rate=1e-2)
    pairs_config = stages.PreferencesConfig(dataset="ai-fine", examples=48)
    for stage, config in {
        "model": base_config,
        "sft": sft_config(),
        "preferences": pairs_config,
    }.items():
        made.artifacts[stage] = made.run(stage, config).output
    made.artifacts["policy"] = made.artifacts["sft"]
    for stage, config in {
        "reference": stages.ReferenceConfig(max_length=64),
        "reward_model": reward_config(),
    }.items():
        made.artifacts[stage] = made.run(stage, config).output
    return made
