"""``ablate init``: two study files to start from."""

from __future__ import annotations

import argparse
from pathlib import Path

from ablate.cli.output import print_json
from ablate.errors import SurroundingsError

STUDY = """\
# A study: a question and a design. `ablate check study.yaml` reports every mistake in it,
# `ablate plan study.yaml` says what will run and what it costs, `ablate run study.yaml` runs it.
study: dpo-vs-ppo
question: On the same preference data, does PPO beat DPO?
expectation: PPO wins by 0 to 2 points on average.   # printed beside what was observed

base:                          # every cell starts from this
  model: tiny-instruct         # a registry name, a local folder, a GGUF file or a hub id
  policy: {beta: 0.1}          # goes to the algorithms that have the field
  evaluation: {suite: tiny-instruct}

rows: [base, sft]              # the starting points, evaluated as rows of the table
baseline: sft                  # effects are differences to this row
seeds: 3                       # the unit of n is the run: cell x seed

grid:                          # the cross product of the factors
  dataset: [human-noisy, ai-fine]
  algorithm: [dpo, ppo]
# exclude:
#   - {dataset: human-noisy, algorithm: ppo}

analysis:                      # declared before the results are seen
  primary: average
  margin: 1.0                  # smallest effect of interest, in points
  alpha: 0.05
  correction: holm
"""

SMOKE = """\
# Every stage once, tiny: does it run here at all? Its numbers mean nothing.
study: smoke
status: preliminary
question: Does every stage run on this machine?

base:
  model: tiny-instruct
  model.examples: 400
  sft: {examples: 100}
  preferences: {examples: 64}
  reward_model: {normalization_prompts: 16}
  ppo: {steps: 2, rollouts_per_step: 16, batch_size: 8}
  evaluation: {limit: 4}
  reward_evaluation: {examples: 16, best_of: 2, best_of_prompts: 8}

rows: [base, sft]
baseline: sft
seeds: 1

grid:
  dataset: [ai-fine]
  algorithm: [dpo, ppo]
"""


def run(args: argparse.Namespace) -> int:
    """Write ``study.yaml`` and ``smoke.yaml`` into the folder; never over an existing file."""
    folder = Path(args.folder)
    files = {folder / "study.yaml": STUDY, folder / "smoke.yaml": SMOKE}
    taken = [str(path) for path in files if path.exists()]
    if taken:
        raise SurroundingsError(
            f"{folder}: {', '.join(taken)} exists already; init never overwrites. "
            "Name another folder: ablate init DIR."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SurroundingsError(
            f"{folder}: cannot write ({error.strerror}). Name a folder that you may write to."
        ) from error
    if args.json:
        print_json({"written": [str(path) for path in files]})
    else:
        print(f"wrote {folder / 'study.yaml'} and {folder / 'smoke.yaml'}")
        print(f"next: ablate plan {folder / 'study.yaml'}")
    return 0
