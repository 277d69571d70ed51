"""What comes back from a training command: checked, loaded as data only, written as our own.

Nothing of it is trusted: no link is followed, no pickle is opened, no code of a model folder runs,
and the artifact holds what our own save writes, with the tokenizer that was handed out.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)
from transformers.utils import logging as transformers_logging

from ablate.errors import AblateError, StageError
from ablate.models.backbone import refuse_unsupported
from ablate.models.boundary import Boundary
from ablate.models.loading import LoadedModel, save_model
from ablate.store.workspace import METRICS, Workspace
from ablate.training.backends.contract import MODEL
from ablate.training.backends.materials import Materials

_TIMES = re.compile(r"(_runtime|_per_second|seconds|_time|^time)$")
"""Names of metrics that differ from run to run and so have no place in an artifact."""
_NAME_CHARACTERS = 120
_SETTINGS = ("config.json", "tokenizer_config.json")


def _refused(what: str, needed: str) -> StageError:
    return StageError(f"command: output: {what}; {needed}")


def check_tree(output: Path) -> None:
    """Raise StageError where the output holds anything but folders and files of its own."""
    if output.is_symlink() or not output.is_dir():
        raise _refused("the folder itself was replaced", "it must stay. Write into it.")
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        if path.is_symlink():
            raise _refused(f"{name} is a link", "plain files are needed. Copy what it names.")
        if not path.is_dir() and not path.is_file():
            raise _refused(f"{name} is no plain file", "remove it.")


def accept_model(
    output: Path, handed_out: LoadedModel, materials: Materials, *, reward: bool, target: Path
) -> None:
    """Check the weights and tokenizer below ``output`` and write them to ``target`` as our own."""
    folder = output / MODEL
    _check_files(folder)
    _check_tokenizer(folder, handed_out.boundary, materials)
    transformers_logging.disable_progress_bar()  # The job's log is a file.
    loader = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    try:
        model, info = loader.from_pretrained(
            folder,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # Whatever transformers says of a file that others wrote.
        shown = " ".join(str(error).split())[:400]
        needed = "a folder that save_pretrained wrote is needed."
        raise _refused(f"{MODEL} cannot be loaded ({shown})", needed) from error
    _check_weights(model, info, handed_out, reward=reward)
    save_model(model, handed_out.tokenizer, target)


def _check_files(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    shown = f"{MODEL} holds {', '.join(names[:8]) or 'nothing'}"
    if "adapter_config.json" in names and "config.json" not in names:
        raise _refused(f"{shown}: an adapter", "merge it first (merge_and_unload).")
    weights = [name for name in names if name.endswith(".safetensors")]
    if "config.json" not in names or not weights:
        pickled = [name for name in names if name.endswith((".bin", ".pt", ".pth"))]
        why = " Pickled weights are never opened." if pickled else ""
        needed = "config.json and *.safetensors are needed, as save_pretrained writes them."
        raise _refused(shown, needed + why)
    if not {"tokenizer_config.json", "tokenizer.json"} <= set(names):
        needed = "tokenizer.json and tokenizer_config.json are needed: save the tokenizer there."
        raise _refused(shown, needed)
    for name in _SETTINGS:
        if "auto_map" in _json(folder / name):
            raise _refused(f"{MODEL}/{name} has auto_map", "code of a model folder is never run.")
    index = folder / "model.safetensors.index.json"
    listed = _json(index).get("weight_map", {}) if index.exists() else {}
    foreign = sorted(set(map(str, listed.values())) - set(names)) if listed else []
    if foreign:
        raise _refused(f"{MODEL}/{index.name} names {foreign[0]!r}", "files beside it are needed.")


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise _refused(
            f"{MODEL}/{path.name} is no JSON ({error})", "a mapping is needed."
        ) from None
    if not isinstance(found, dict):
        raise _refused(f"{MODEL}/{path.name} is no mapping", "a mapping is needed.")
    return found


def _check_tokenizer(folder: Path, ours: Boundary, materials: Materials) -> None:
    """Refuse a tokenizer that would cut prompts or completions otherwise than every other stage."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        theirs = Boundary(tokenizer)
        same = all(theirs.prompt_ids(m) == ours.prompt_ids(m) for m in materials.messages)
        same &= all(theirs.completion_ids(t) == ours.completion_ids(t) for t in materials.texts)
    except AblateError as error:
        raise _refused(f"{MODEL}: {error}", "keep the tokenizer that came with job.json.") from None
    except Exception as error:  # As for the weights.
        shown = " ".join(str(error).split())[:400]
        raise _refused(
            f"the tokenizer cannot be loaded ({shown})", "save the given one."
        ) from error
    if not same:
        needed = "every stage of a cell must cut texts alike. Keep the tokenizer and its template."
        raise _refused("the tokenizer gives other ids than the one handed out", needed)


def _check_weights(
    model: Any, info: dict[str, Any], handed_out: LoadedModel, *, reward: bool
) -> None:
    for kind in ("missing_keys", "mismatched_keys"):
        if found := sorted(map(str, info.get(kind) or ())):
            what = f"{MODEL}: {len(found)} {kind.replace('_', ' ')}, {found[0]} among them"
            head = " A reward model has one label and a head named score." if reward else ""
            raise _refused(what, f"every weight of the architecture is needed.{head}")
    if reward and model.config.num_labels != 1:
        raise _refused(f"{model.config.num_labels} labels", "a reward model has num_labels 1.")
    refuse_unsupported(model.config, "command")
    rows, needed = model.get_input_embeddings().weight.shape[0], len(handed_out.tokenizer)
    if rows < needed:
        raise _refused(f"{rows} embeddings for {needed} tokens", "keep the vocabulary.")
    for name, weight in model.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            message = f"command: output: weight {name} is not finite; it must be."
            raise StageError(
                f"{message} Lower the learning rate, or look at the data.", kind="non_finite_loss"
            )


def accept_metrics(workspace: Workspace, output: Path) -> int:
    """Write the command's metrics as step metrics; return the number of lines.

    Kept are numbers, NaN and infinities as null; times are dropped, or no two runs would agree.
    """
    path = output / METRICS
    needed = 'one JSON object a line with a whole "step" and numbers is needed.'
    if not path.is_file():
        raise _refused(f"no {METRICS}", needed)
    lines = 0
    for number, line in enumerate(_lines(path), start=1):
        try:
            found = json.loads(line)
        except ValueError as error:
            raise _refused(f"{METRICS}, line {number}: {error}", needed) from None
        step = found.pop("step", None) if isinstance(found, dict) else None
        if type(step) is not int or step < 0:
            raise _refused(f"{METRICS}, line {number}: no step", needed)
        workspace.log_metrics(step, _numbers(found))
        lines += 1
    if lines == 0:
        raise _refused(f"{METRICS} is empty", needed)
    return lines


def _lines(path: Path) -> Iterator[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        yield from (line for line in file if line.strip())


def _numbers(found: dict[str, Any]) -> dict[str, float]:
    kept: dict[str, float] = {}
    for name, value in found.items():
        if len(name) > _NAME_CHARACTERS or _TIMES.search(name):
            continue
        if value is None:
            kept[name] = math.nan
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            kept[name] = _as_float(value)
    return kept


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # A whole number beyond every float.
        return math.nan


def shown_differences(differences: Sequence[str]) -> list[str]:
    """Return what is recorded of a result's differences: short, and not without end."""
    return [difference[:300] for difference in differences[:40]]
