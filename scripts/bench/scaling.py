"""Show how cost grows: a step's with tokens, the sampler's with generated tokens, and memory.

``python scripts/bench/scaling.py [--repeats 3]``

An exponent of 1 is linear growth; below 1, a fixed cost is spread over more work. Memory is the
peak of a process of its own above what it held before the pass, beside the size of the logits of
all completion tokens, [batch, tokens, vocabulary], which is never held.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import common
import torch

from ablate.models.boundary import Boundary, Row
from ablate.models.loading import LoadedModel
from ablate.models.logprobs import completion_logprobs
from ablate.models.sampling import Request, SamplingParams, sample
from ablate.spec.stages import SftConfig
from ablate.training.learner import Learner, settings_of
from ablate.training.sft import SftObjective
from ablate.training.trainable import Trainable

SMALL: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 2}
PROMPT = 8
MEMORY = [(8192, 16, 256), (50257, 16, 256), (50257, 32, 256), (50257, 64, 256), (50257, 32, 512)]
"""Vocabulary, rows, tokens of a row."""


def exponent(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of the least-squares line through log(x), log(y)."""
    points = [(math.log(x), math.log(y)) for x, y in zip(xs, ys, strict=True)]
    center_x = sum(x for x, _ in points) / len(points)
    center_y = sum(y for _, y in points) / len(points)
    top = sum((x - center_x) * (y - center_y) for x, y in points)
    return top / sum((x - center_x) ** 2 for x, _ in points)


def random_rows(count: int, length: int, vocabulary: int) -> list[Row]:
    """Return rows of one length with distinct prompts."""
    draw = random.Random(0)

    def ids(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(4, vocabulary) for _ in range(n))

    return [Row(ids(PROMPT), ids(length - PROMPT)) for _ in range(count)]


def least(work: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Return what the work amounts to, and the least CPU seconds of some repeats."""
    work()
    best, amount = math.inf, 0.0
    for _ in range(repeats):
        clock = common.Clock()
        amount = work()
        best = min(best, clock.spent().cpu)
    return amount, best


def curve(name: str, works: Sequence[Callable[[], float]], repeats: int) -> dict[str, Any]:
    """Return cost against amount, and the fitted exponent."""
    points = [least(work, repeats) for work in works]
    fitted = exponent([amount for amount, _ in points], [seconds for _, seconds in points])
    print(f"{name}: exponent {fitted:.2f}")
    for amount, seconds in points:
        print(f"  {amount:8.0f} tokens {seconds:8.3f} s {seconds / amount * 1e6:8.1f} us a token")
    return {
        "name": name,
        "exponent": round(fitted, 3),
        "points": [{"tokens": a, "cpu_seconds": round(s, 4)} for a, s in points],
    }


def steps(shapes: Sequence[tuple[int, int]]) -> list[Callable[[], float]]:
    """Return an optimizer step of each number and length of rows."""
    model = common.policy(8192)
    tokenizer = common.tokenizer(8192)
    loaded = LoadedModel(model, tokenizer, Boundary(tokenizer))
    config = SftConfig(dataset="random", learning_rate=1e-6)
    learner = Learner(Trainable(loaded, None, seed=0), settings_of(config, 1000))

    def step(count: int, length: int) -> Callable[[], float]:
        objective = SftObjective(model, random_rows(count, length, 8192))
        batch = range(count)

        def work() -> float:
            learner.update([objective.share(batch, objective.weight(batch))])
            return float(count * length)

        return work

    return [step(count, length) for count, length in shapes]


def samplers(shapes: Sequence[tuple[int, int]]) -> list[Callable[[], float]]:
    """Return a rollout of each number of requests and new tokens."""
    model = common.policy(8192, **SMALL)
    boundary = Boundary(common.tokenizer(8192))

    def rollout(count: int, limit: int) -> Callable[[], float]:
        rows = random_rows(count, PROMPT, 8192)
        requests = [Request(row.prompt) for row in rows]
        params = SamplingParams(max_new_tokens=limit, temperature=1.0, seed=0)

        def work() -> float:
            return float(sum(len(c.tokens) for c in sample(model, boundary, requests, params)))

        return work

    return [rollout(count, limit) for count, limit in shapes]


def peak_bytes(vocabulary: int, count: int, length: int) -> int:
    """Return by how much scoring with gradients raises this process's peak memory."""
    model = common.policy(vocabulary, **SMALL)
    torch.autograd.backward(
        completion_logprobs(model, random_rows(1, 16, vocabulary), grad=True).logprobs.sum()
    )
    rows = random_rows(count, length, vocabulary)
    # The peak of resource.getrusage is the parent's where that was larger, also after exec.
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    torch.autograd.backward(completion_logprobs(model, rows, grad=True).logprobs.sum())
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """Return one of the kernel's figures about this process in bytes; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name + ":"))


def memory(vocabulary: int, count: int, length: int) -> dict[str, Any]:
    """Measure one peak in a child process."""
    command = [sys.executable, __file__, "--peak", *map(str, (vocabulary, count, length))]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    peak = json.loads(answer.strip().splitlines()[-1])
    logits = 4 * vocabulary * count * (length - PROMPT)
    print(
        f"  {vocabulary:6d} words {count:3d} rows of {length}: peak {peak / 1e6:7.0f} MB, "
        f"all logits once {logits / 1e6:7.0f} MB"
    )
    return {
        "vocabulary": vocabulary,
        "rows": count,
        "length": length,
        "peak_bytes": peak,
        "logits_bytes": logits,
    }


def main() -> None:
    """Measure, print, write ``results/scaling.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="scaling", help="of the JSON in results/")
    parser.add_argument("--peak", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(peak_bytes(*options.peak))
        return
    setting = common.environment()
    n = options.repeats
    rows = [(count, 96) for count in (8, 16, 32, 64)]
    lengths = [(16, length) for length in (32, 64, 128, 256, 512)]
    limits = [(64, limit) for limit in (16, 32, 64, 128, 256)]
    requests = [(count, 32) for count in (64, 128, 256, 512)]
    curves = [
        curve("optimizer step, more rows of 96 tokens", steps(rows), n),
        curve("optimizer step, 16 longer rows", steps(lengths), n),
        curve("sampler, longer completions of 64 prompts", samplers(limits), n),
        curve("sampler, more prompts with 32 new tokens", samplers(requests), n),
    ]
    print("log-probabilities with gradients:")
    peaks = [memory(*point) for point in MEMORY]
    common.write(options.name, {**setting, "curves": curves, "memory": peaks})


if __name__ == "__main__":
    main()
