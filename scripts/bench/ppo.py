"""Compare a PPO step (rollout, scoring, update) with the last TRL that had PPO, 1.12.0.

``python scripts/bench/ppo.py --cache FOLDER [--steps 6]``

The first run fills the cache: TRL 1.12.0 from the package index (``pip install --no-deps
--target``; it runs on the transformers that is installed), models and prompts. Both sides read the
same policy, reward and value model and the same prompts, sample 128 completions a step and take 4
optimizer steps on minibatches of 32. TRL runs in a child process; the sides take turns.

Three sizes: tiny-instruct with a trained policy and 28 new tokens; 7.3M parameters with 64 new
tokens where a completion has 28 on average; the same where none ends early, so that nothing can be
saved on finished rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import common
import torch
from ppo_models import Size, sizes

from ablate.spec.stages import PpoConfig
from ablate.store.workspace import Workspace
from ablate.training.policy import run

TRL = "1.12.0"
ROLLOUTS, MINIBATCH, WARM_UP = 128, 32, 2
RATE, KL_COEF = 1e-6, 0.05
REQUIRED, GOAL = 2.0, 4.0
PARTS = ("rollout", "scoring", "update")


@dataclass
class Turns(Workspace):
    """Our stage's workspace: measures each part on both clocks."""

    parts: dict[str, common.Spent] = field(default_factory=dict)
    """What the current step's parts took so far."""

    @contextmanager
    def timed(self, activity: str) -> Iterator[None]:
        """Add the block to the activity."""
        clock = common.Clock()
        with super().timed(activity):
            yield
        spent = clock.spent()
        before = self.parts.get(activity, common.Spent(0.0, 0.0))
        self.parts[activity] = common.Spent(before.cpu + spent.cpu, before.wall + spent.wall)


class Theirs:
    """A child process that takes one step whenever it is asked."""

    def __init__(self, size: Size, target: Path) -> None:
        """Start it and wait until its models are loaded (at its first step)."""
        task = {
            "policy": str(size.policy / "model"),
            "reward": str(size.reward / "model"),
            "prompt_ids": str(size.prompt_ids),
            "rollouts": ROLLOUTS,
            "minibatch": MINIBATCH,
            "max_new_tokens": size.max_new_tokens,
            "learning_rate": RATE,
            "kl_coef": KL_COEF,
        }
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(common.HERE / "ppo_trl.py"), json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(target)},
        )

    def step(self) -> dict[str, Any]:
        """Take a step; return seconds by part and clock."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.log.seek(0)
            raise SystemExit("TRL's process ended:\n" + self.log.read()[-4000:])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def installed(cache: Path) -> Path:
    """Return a folder that holds TRL 1.12.0 and nothing else."""
    target = cache / f"trl-{TRL}"
    if not (target / "trl").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*command, "--target", str(target), f"trl=={TRL}"], check=True)
    return target


def our_config(size: Size, steps: int) -> PpoConfig:
    """Return the stage's configuration; the sizes are TRL's too."""
    return PpoConfig(
        prompts=size.prompts,
        prompts_examples=1024,
        steps=steps,
        rollouts_per_step=ROLLOUTS,
        batch_size=MINIBATCH,
        learning_rate=RATE,
        warmup_fraction=0.0,
        max_new_tokens=size.max_new_tokens,
        temperature=1.0,
        kl_coef=KL_COEF,
        missing_eos_score=-1.0,
        missing_eos="subtract",
        whiten_advantages="batch",
        checkpoint_every_steps=1 << 30,
    )


@contextmanager
def workspace(size: Size, config: PpoConfig, **fields: Any) -> Iterator[Turns]:
    """Give a workspace in a temporary folder."""
    inputs = {"policy": size.policy, "reward_model": size.reward}
    with tempfile.TemporaryDirectory() as folder:
        output, scratch = Path(folder) / "output", Path(folder) / "scratch"
        output.mkdir(), scratch.mkdir()
        yield Turns("policy", config, inputs, output, scratch, **fields)


def compare(size: Size, target: Path, steps: int) -> dict[str, Any]:
    """Measure one size; the sides take turns inside of our own loop."""
    ours = {name: common.Series() for name in ("step", *PARTS)}
    theirs = {name: common.Series() for name in ("step", *PARTS)}
    tokens: dict[str, list[float]] = {"ours": [], "theirs": []}
    other = Theirs(size, target)
    other.step()  # Loads everything.

    def take_turns(event: Mapping[str, Any]) -> None:
        nonlocal clock
        if event["event"] != "progress":
            return
        ours["step"].steps.append(clock.spent())
        for name in PARTS:
            ours[name].steps.append(space.parts.get(name, common.Spent(0.0, 0.0)))
        answer = other.step()
        for name in ("step", *PARTS):
            theirs[name].steps.append(common.Spent(**answer[name]))
        tokens["theirs"].append(answer["tokens"])
        tokens["ours"].append(space.counts["generated_tokens"] - sum(tokens["ours"]))
        space.parts.clear()
        clock = common.Clock()

    config = our_config(size, steps + WARM_UP)
    with workspace(size, config, report=take_turns) as space:
        clock = common.Clock()
        run(space)
        optimizer_steps = len((space.output / "metrics.jsonl").read_text().splitlines())
    other.close()
    assert optimizer_steps == steps + WARM_UP
    for series in (*ours.values(), *theirs.values()):
        del series.steps[:WARM_UP]
    return {
        "size": size.name,
        "max_new_tokens": size.max_new_tokens,
        "rollouts": ROLLOUTS,
        "optimizer_steps": ROLLOUTS // MINIBATCH,
        # TRL's batch counts as wide as its longest completion, which is what it computes on.
        "mean_tokens": {
            name if name == "ours" else "theirs, padded": round(
                sum(counts[WARM_UP:]) / len(counts[WARM_UP:]) / ROLLOUTS, 1
            )
            for name, counts in tokens.items()
        },
        "required": REQUIRED,
        "goal": GOAL,
        "parts": {name: common.compared(ours[name], theirs[name]) for name in ours},
    }


def profile(size: Size, steps: int) -> list[dict[str, Any]]:
    """Return the operators that most of our own time goes to, over some steps."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    config = our_config(size, steps)
    with workspace(size, config) as space, torch.profiler.profile(activities=activities) as record:
        run(space)
    events = record.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    top = sorted(events, key=lambda event: -event.self_cpu_time_total)[:15]
    return [
        {
            "operator": event.key,
            "share": round(event.self_cpu_time_total / total, 4),
            "calls_per_step": round(event.count / steps, 1),
        }
        for event in top
    ]


def show(result: dict[str, Any]) -> None:
    """Print one size's table."""
    print(f"{result['size']}: mean tokens {result['mean_tokens']}")
    for name, part in result["parts"].items():
        cpu, by_step = part["cpu"], part["cpu"]["ratio_by_step"]
        print(
            f"  {name:8} ours {cpu['ours_seconds']['median']:7.3f} s  TRL "
            f"{cpu['theirs_seconds']['median']:7.3f} s  ratio {cpu['ratio_of_sums']:5.2f}, by step "
            f"{by_step['median']:.2f} [{by_step['q1']:.2f}, {by_step['q3']:.2f}], "
            f"wall {part['wall']['ratio_of_sums']:.2f}"
        )
    for row in result["profile_of_ours"][:10]:
        print(f"    {row['share']:6.1%} {row['calls_per_step']:8.0f} calls  {row['operator']}")


def main() -> None:
    """Run the sizes, print tables, write ``results/ppo.json``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True, help="for TRL 1.12.0 and the models")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1, 2], help="by number")
    parser.add_argument("--name", default="ppo", help="of the JSON in results/")
    options = parser.parse_args()
    options.cache.mkdir(parents=True, exist_ok=True)
    cache = options.cache.resolve()
    target = installed(cache)
    made = sizes(cache)
    setting = common.environment(trl=TRL)
    results = []
    for number in options.sizes:
        result = compare(made[number], target, options.steps)
        result["profile_of_ours"] = profile(made[number], 2)
        show(result)
        results.append(result)
    common.write(options.name, {**setting, "results": results})


if __name__ == "__main__":
    main()
