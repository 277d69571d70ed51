"""What the benchmarks share: models, lengths, clocks, and the JSON that they leave behind.

Imported before torch, it sees to one thread.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import subprocess
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import alone
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from ablate.models.boundary import Row

torch.set_num_threads(alone.THREADS)
warnings.simplefilter("ignore")

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>")
TEMPLATE = (
    "{% for message in messages %} {{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %} <bos>{% endif %}"
)
MEDIAN_PROMPT, MEDIAN_COMPLETION, SPREAD, CAP = 34, 42, 0.62, 256
"""Log-normal lengths whose sum has a median of 80 tokens; batches of 16 are 58 % padding."""


@dataclass(frozen=True)
class Spent:
    """What some work took."""

    cpu: float
    """Seconds of CPU of this process, all threads."""
    wall: float
    """Seconds on the wall; on a shared machine this is mostly the others' work."""


class Clock:
    """Measures from its making to `spent`."""

    def __init__(self) -> None:
        """Start."""
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def spent(self) -> Spent:
        """Return what was spent since the start."""
        return Spent(time.process_time() - self.cpu, time.perf_counter() - self.wall)


@dataclass
class Series:
    """What each of several steps took."""

    steps: list[Spent] = field(default_factory=list)

    def of(self, clock: str) -> list[float]:
        """Return one clock's seconds, step by step."""
        return [getattr(spent, clock) for spent in self.steps]


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return median and quartiles, rounded to what a clock can tell."""
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [*values] * 3
    )
    return {"median": round(middle, 5), "q1": round(low, 5), "q3": round(high, 5)}


def compared(ours: Series, theirs: Series) -> dict[str, Any]:
    """Return both sides' seconds and theirs over ours: of every step, and of the sums."""
    result: dict[str, Any] = {"steps": len(ours.steps)}
    for clock in ("cpu", "wall"):
        mine, other = ours.of(clock), theirs.of(clock)
        ratios = [b / a for a, b in zip(mine, other, strict=True)]
        result[clock] = {
            "ours_seconds": quartiles(mine),
            "theirs_seconds": quartiles(other),
            "ratio_of_sums": round(sum(other) / sum(mine), 3),
            "ratio_by_step": quartiles(ratios),
            "ratios": [round(ratio, 3) for ratio in ratios],
        }
    return result


def tokenizer(vocabulary: int) -> Any:
    """Return a tokenizer with one word a token, so that ids survive the way through text."""
    words = [*SPECIALS, *(f"w{n}" for n in range(vocabulary - len(SPECIALS)))]
    backend = Tokenizer(
        models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        chat_template=TEMPLATE,
    )


def llama_config(vocabulary: int, **changes: Any) -> LlamaConfig:
    """Return the shape with 7.3M parameters at 8,192 words and 28.8M at 50,257."""
    shape: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 256,
        "intermediate_size": 672,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return LlamaConfig(**(shape | changes))


def policy(vocabulary: int, **changes: Any) -> Any:
    """Return a random policy, the same one every time."""
    torch.manual_seed(0)
    return _open_padding(LlamaForCausalLM(llama_config(vocabulary, **changes)).eval())


def scalar_model(vocabulary: int, **changes: Any) -> Any:
    """Return a random reward or value model of the same shape."""
    torch.manual_seed(1)
    config = llama_config(vocabulary, num_labels=1, **changes)
    return _open_padding(LlamaForSequenceClassification(config).eval())


def _open_padding(model: Any) -> Any:
    model.get_input_embeddings().padding_idx = None
    return model


def parameters(model: Any) -> int:
    """Return the number of weights."""
    return sum(weight.numel() for weight in model.parameters())


@dataclass(frozen=True)
class PairData:
    """Random token ids of pairs; chosen and rejected share their prompt."""

    chosen: list[Row]
    rejected: list[Row]


def pairs(count: int, vocabulary: int, *, uniform: bool = False) -> PairData:
    """Draw pairs of log-normal lengths, or pairs whose rows are all 80 tokens long."""
    draw = random.Random(0)

    def length(median: float) -> int:
        return max(2, round(draw.lognormvariate(0.0, SPREAD) * median))

    def ids(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(len(SPECIALS), vocabulary) for _ in range(n))

    data = PairData([], [])
    for _ in range(count):
        prompt = ids(36 if uniform else min(length(MEDIAN_PROMPT), CAP // 2))
        for side in (data.chosen, data.rejected):
            tokens = 44 if uniform else min(length(MEDIAN_COMPLETION), CAP - len(prompt))
            side.append(Row(prompt, (*ids(tokens - 1), 2)))
    return data


def environment(**versions_of: str) -> dict[str, Any]:
    """Return the machine, the versions, the commit and the date of a measurement."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(HERE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    names = ("torch", "transformers", "accelerate", "trl")
    versions = {name: metadata.version(name) for name in names} | versions_of
    return {
        "machine": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "versions": {"python": platform.python_version(), **versions},
        "commit": git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(git("status", "--porcelain", "--", "../../ablate", ".")),
        "date": datetime.now(UTC).date().isoformat(),
        "threads": torch.get_num_threads(),
        "dtype": "float32",
        "primary": "cpu: seconds of CPU time, since the machine may be shared; wall beside it",
    }


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.processor()


def write(name: str, content: dict[str, Any]) -> None:
    """Write one benchmark's JSON."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"wrote {path.relative_to(HERE.parent.parent)}")
