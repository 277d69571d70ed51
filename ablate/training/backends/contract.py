"""The stage contract: what ``job.json`` says to a training command, and what it hands back.

The page docs/backends.md is this contract in words. A field that is added keeps the schema's
number; one that changes its meaning raises it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, ValidationError

from ablate.errors import StageError

SCHEMA = 1
"""Version of both files."""
JOB = "job.json"
RESULT = "result.json"
MODEL = "model"
"""Folder of weights and tokenizer below the output folder."""
COMPLETE = "complete"
"""A command writes this file into its checkpoint folder, with new content, after each checkpoint
that is whole; only then may it be stopped gently and go on from there."""
COUNTS = ("generated_tokens", "reward_calls", "trained_tokens", "preferences")
"""Budgets that a result may count."""
LONGEST_TEXT = 2_000
"""Characters of a result's message that are kept."""


class Data(BaseModel):
    """Files of one JSON object a line; absent where the stage has no such data."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    demonstrations: str | None = None
    """messages, prompt, completion, prompt_ids, completion_ids."""
    pairs: str | None = None
    """id, messages, prompt, chosen, rejected, prompt_ids, chosen_ids, rejected_ids; where the stage
    has stored reference log-probabilities also reference_chosen_logp, reference_rejected_logp."""
    prompts: str | None = None
    """id, messages, prompt, prompt_ids; world and target where a reward function needs them."""


class Job(BaseModel):
    """``job.json``: everything that a training command is told. Paths are absolute."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, protected_namespaces=())

    version: int = Field(SCHEMA, alias="schema")
    """Version of this contract."""
    stage: Literal["sft", "reward_model", "policy"]
    """What is trained."""
    algorithm: str
    """Value of ``algorithm`` for a policy; the stage's name for others."""
    model: str
    """Folder in hub layout that training starts from, with its tokenizer."""
    reference: str | None = None
    """Folder of the frozen reference model of a policy stage."""
    inputs: dict[str, str]
    """Every input artifact of the job by role, for what has no field of its own."""
    data: Data
    """What to train on: rendered, tokenized, without what is too long."""
    end_token: str
    """Ends every completion; its id is the last of ``completion_ids`` and its like."""
    pad_token_id: int
    """Fills rows."""
    config_class: str
    """Name of the configuration's class in this library."""
    config: dict[str, Any]
    """The resolved configuration: every hyperparameter of the stage."""
    seed: int
    """Seed of everything random."""
    budget: dict[str, Any] | None = None
    """``unit`` and ``amount`` that the stage may spend; it stops before it would exceed them."""
    device: Literal["cpu", "cuda"]
    """Where to compute; a GPU's job sees one device."""
    threads: int
    """Threads to use on a CPU."""
    output: str
    """Existing empty folder for model/, metrics.jsonl and result.json."""
    checkpoint: str
    """Existing folder that survives a restart of the job; empty at first."""

    def write(self, path: Path) -> None:
        """Write ``job.json``."""
        text = self.model_dump_json(indent=1, by_alias=True)
        path.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Job:
        """Return the job in a file."""
        return cls.model_validate_json(path.read_bytes())


class Result(BaseModel):
    """``result.json``: how the command says that it went."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )

    version: int = Field(alias="schema")
    """Version of the contract that the command follows."""
    status: Literal["ok", "failed"]
    """``failed`` ends the job with ``message``."""
    message: str = ""
    """One sentence for the user."""
    kind: Literal["bug", "bad_data", "non_finite_loss", "out_of_memory"] = "bug"
    """Class of a failure; a job that ran out of memory is tried again with a smaller batch."""
    counts: dict[str, NonNegativeFloat] = {}
    """Budgets spent, of `COUNTS`."""
    seconds: dict[str, NonNegativeFloat] = {}
    """Wall time by activity, such as ``rollout`` and ``update``."""
    differences: list[str] = []
    """Where the training departed from the configuration, a sentence each."""
    versions: dict[str, str] = {}
    """Versions of the libraries that did the work."""


def write_result(folder: Path, **fields: Any) -> None:
    """Write ``result.json`` into an output folder."""
    result = Result.model_validate({"schema": SCHEMA, **fields})
    text = result.model_dump_json(indent=1, by_alias=True)
    (folder / RESULT).write_text(text + "\n", encoding="utf-8")


def read_result(folder: Path) -> Result:
    """Return what the command wrote; raises StageError where it is missing or malformed."""
    path = folder / RESULT
    where = f"command: {RESULT}"
    needed = '{"schema": 1, "status": "ok"} or with status "failed" and a message'
    if path.is_symlink() or not path.is_file():
        raise StageError(
            f"{where}: no such file in the output folder; needed is {needed}. "
            "Let the script write it last.",
            kind="bug",
        )
    try:
        result = Result.model_validate(json.loads(path.read_bytes()))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise StageError(f"{where}: {place}: {first['msg']}; needed is {needed}.") from None
    except ValueError as error:
        raise StageError(f"{where}: no JSON ({error}); needed is {needed}.") from None
    if result.version != SCHEMA:
        raise StageError(
            f"{where}: schema {result.version}; this library reads {SCHEMA}. Update the script."
        )
    if unknown := sorted(set(result.counts) - set(COUNTS)):
        allowed = ", ".join(COUNTS)
        raise StageError(f"{where}: counts.{unknown[0]}: unknown; allowed are {allowed}.")
    return result
