"""The configuration of evaluations: of a policy on a suite, and of what scores replies."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from ablate.spec.config import Config, added_later, not_identity
from ablate.spec.shaping import Shaping
from ablate.spec.suites import JudgeConfig, SuiteDefinition, Tier
from ablate.spec.training import Positive


class EvaluationConfig(Config):
    """Evaluation of one policy on one suite through lm-eval."""

    suite: str = "tiny-instruct"
    """Name of a suite in the registry, or a suite file."""
    split: Literal["validation", "test"] = "test"
    """Which prompts. Tune on validation, report on test."""
    samples: PositiveInt = 2
    """Sampled completions per prompt, beside the greedy one."""
    temperature: Positive = 1.0
    """Sampling temperature."""
    max_new_tokens: PositiveInt | None = None
    """Longest completion; None takes the suite's."""
    limit: PositiveInt | None = None
    """First so many documents of each task; None takes all."""
    shots: NonNegativeInt = 0
    """Solved examples before each question, always the same, in tasks that have any."""
    rewards: tuple[str, ...] = added_later((), neutral=())
    """Reward functions that score every reply as further metrics; ``noun-count`` is the metric
    ``noun_count``, and ``greedy_noun_count`` of greedy replies."""
    rewards_origin: tuple[str, ...] = added_later((), neutral=())
    """Distribution and version behind each of them, filled in by the loader."""
    tier: Tier = not_identity("paper")
    """How many documents of each task: ``smoke`` to see that it runs, ``dev`` for work at a desk,
    ``paper`` for what is reported. Suites that state no tiers take all of theirs."""
    without: tuple[str, ...] = added_later((), neutral=())
    """Tasks of the suite that are left out; a category without tasks is left out of the Average."""
    judge: JudgeConfig | None = added_later(None, neutral=None)
    """Who compares or grades, where a task needs a judge."""
    against: Literal["file", "reference"] = added_later("file", neutral="file")
    """Whose replies a judge compares with: those in the task's file, or the SFT policy's own."""
    checkpoint: Annotated[str, Field(pattern=r"^(kept/[0-9]+)?$")] = added_later("", neutral="")
    """Which of the policy's kept checkpoints, filled in by the plan; empty takes the last."""
    definition: SuiteDefinition | None = added_later(None, neutral=None)
    """The suite's tasks, filled in by the loader; None for the suites that are code."""
    content: str | None = None
    """Hash of the local files behind the suite; None for a generated suite."""
    seed: NonNegativeInt = 0
    """Seed of the sampled completions."""
    location: str = not_identity("")
    """Folder of the suite's local files on this machine."""


Aggregation = Literal[
    "rewardbench-march-2024",
    "rewardbench-march-2024-xstest-swapped",
    "rewardbench-may-2024",
    "rewardbench-may-2024-xstest-swapped",
    "rewardbench-2",
]
"""Rules that make a score of accuracies by subset; `ablate.evals.reward_rules` has the numbers."""


ImportFormat = Literal["lm-eval", "alpaca-eval", "table"]


class ImportedConfig(Config):
    """Results that something else evaluated: samples of a file or folder, or published numbers."""

    files: str
    """What the study calls the file or folder; empty for published numbers."""
    format: ImportFormat | None = None
    """What the files are; None recognizes them by their content."""
    model: str | None = None
    """Whose outputs, where the files have those of several models."""
    names: dict[str, str] = {}
    """The suite's task by what the files call it, ``*`` for any characters."""
    suite: str = ""
    """Suite of the study, for its name."""
    definition: SuiteDefinition | None = None
    """The study's suite, whose tree the results are averaged by; None for suites that are code."""
    content: str | None = None
    """Hash of the file or folder."""
    source: str = added_later("", neutral="")
    """Where published numbers are from."""
    scores: dict[str, float | None] = added_later({}, neutral={})
    """Published categories and their average, in percent."""
    tasks: dict[str, float | None] = added_later({}, neutral={})
    """Published single benchmarks, in percent."""
    errors: dict[str, float] = added_later({}, neutral={})
    """Standard errors of published numbers, in points."""
    seed: NonNegativeInt = 0
    """Unused: nothing is drawn."""
    location: str = not_identity("")
    """Where this machine has it."""


class RewardEvaluationConfig(Config):
    """Evaluation of one reward model: pair accuracy, and best-of-N where a gold reward exists."""

    dataset: str = "tiny-instruct"
    """Registry name of the evaluation pairs."""
    content: str | None = None
    """Hash of the local file behind ``dataset``."""
    examples: PositiveInt = 600
    """Pairs of each kind; with an ``aggregation``, of each subset."""
    aggregation: Aggregation | None = added_later(None, neutral=None)
    """How subsets become sections and a score, as RewardBench has it; the name holds the version.
    ``rewardbench-2`` reads several replies to a prompt, of which the best has to be a right one."""
    best_of: PositiveInt = 8
    """Largest N of best-of-N."""
    best_of_samples: PositiveInt | None = added_later(None, neutral=None)
    """Samples of each prompt that best-of-N is estimated from; None takes ``best_of``. From fewer
    than twice N the estimate is of few different winners."""
    best_of_prompts: NonNegativeInt = 192
    """Prompts sampled for best-of-N; 0 leaves it out."""
    best_of_suite: bool = added_later(False, neutral=False)
    """Whether best-of-N is made on the cell's suite as well, with its tasks' own scores as gold:
    ``best_of_prompts`` items of each task whose replies a program can score by itself."""
    best_of_evaluation: EvaluationConfig | None = added_later(None, neutral=None)
    """The evaluation whose tasks these are, filled in by the plan."""
    max_new_tokens: PositiveInt = 40
    """Longest sampled completion in a generated world."""
    reward: str = added_later("reward_model", neutral="reward_model")
    """What is evaluated, as an algorithm's field of that name: what scores the cell's samples,
    unless this says otherwise. Also ``pair_judge`` (the SFT model is shown two replies), and the
    path of a folder with a sequence classifier."""
    reward_content: str | None = added_later(None, neutral=None)
    """Hash of the classifier's folder."""
    reward_location: str = not_identity("")
    """Where this machine has the classifier's folder."""
    reward_origin: str = added_later("", neutral="")
    """Distribution and version behind a reward function."""
    ensemble: Literal["mean", "worst", "uncertainty"] = added_later("mean", neutral="mean")
    """How the scores of several reward models become one."""
    uncertainty_coef: NonNegativeFloat = added_later(0.5, neutral=0.5)
    """Weight of the members' variance under ``uncertainty``."""
    implicit_reference: bool = added_later(True, neutral=True)
    """Whether ``implicit`` subtracts the reference's log-probability."""
    shaping: Shaping | None = added_later(None, neutral=None)
    """What is kept of the pairs, where the study says it under ``datasets``."""
    seed: NonNegativeInt = 0
    """Seed of the pairs and samples."""
    location: str = not_identity("")
    """Where this machine has the file."""
