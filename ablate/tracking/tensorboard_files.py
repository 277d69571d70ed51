"""TensorBoard's event files, each written once and whole; neither torch nor TensorFlow is used.

A file's bytes follow from what it says, so writing it again gives the same file. TensorBoard takes
the files of one folder as one run, in order of their names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

PREFIX = "events.out.tfevents."
"""What TensorBoard knows an event file by."""
NAME_LENGTH = 80
_NOT_ALLOWED = re.compile(r"[^\w. ()=,+\-]")
Summary = Any
"""A ``summary_pb2.Summary``; protocol buffers come without types."""


def folder_name(name: str) -> str:
    """Return a name that is one folder on any file system; a changed one ends in its hash."""
    brackets = name.replace("[", "(").replace("]", ")").replace("->", "-")
    clean = _NOT_ALLOWED.sub("_", brackets)[:NAME_LENGTH].strip(". ")
    if clean == brackets and not name.startswith("."):
        return clean
    return f"{clean}-{sha256(name.encode()).hexdigest()[:6]}"


def find(folder: Path, about: str) -> Path | None:
    """Return the file of a run folder that says something of ``about``; None without one."""
    if not folder.is_dir():
        return None
    ending = f".{about}"
    named = (path for path in folder.iterdir() if path.name.startswith(PREFIX))
    return next((path for path in named if path.name.endswith(ending)), None)


def write(
    folder: Path, about: str, *, time_ms: int, content: Iterable[tuple[int, Summary]]
) -> None:
    """Put the file of ``about`` in place of an earlier one, from (step, summary) pairs.

    It appears whole or not at all: it is built beside the runs, where TensorBoard looks for none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = find(folder, about)
    # A later file must sort behind the ones that TensorBoard has read already.
    target = folder / f"{PREFIX}{time_ms:013d}.{about}"
    partial = folder / f".partial-{about}"
    seconds = time_ms / 1000
    with open(partial, "wb") as file:
        records = RecordWriter(file)
        head = event_pb2.Event(wall_time=seconds, file_version="brain.Event:2")
        records.write(head.SerializeToString(deterministic=True))
        for step, summary in content:
            event = event_pb2.Event(wall_time=seconds, step=step, summary=summary)
            records.write(event.SerializeToString(deterministic=True))
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, target)
    if before is not None and before != target:
        before.unlink(missing_ok=True)


def scalars(values: Mapping[str, float]) -> Summary:
    """Return values by tag, rounded to 32 bits."""
    found = [summary_pb2.Summary.Value(tag=tag, simple_value=v) for tag, v in values.items()]
    return summary_pb2.Summary(value=found)


def text(tag: str, content: str) -> Summary:
    """Return a text, shown as Markdown."""
    return text_pb(tag, content)


def session_start(group: str, hparams: Mapping[str, Any], *, time_ms: int) -> Summary:
    """Return the hyperparameters of one session; those of a group differ in their seed only."""
    info = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=time_ms / 1000)
    for name, value in hparams.items():
        _set(info.hparams[name], value)
    return _hparams(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def session_end(*, good: bool, time_ms: int) -> Summary:
    """Return that a session ended, and whether well."""
    status = api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time_ms / 1000)
    return _hparams(metadata.SESSION_END_INFO_TAG, session_end_info=info)


def experiment(hparams: Mapping[str, Iterable[Any]], metrics: Iterable[str]) -> Summary:
    """Return which hyperparameters, with their values, and which metrics the tab shows."""
    infos = [_hparam_info(name, list(values)) for name, values in hparams.items()]
    names = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metrics]
    found = api_pb2.Experiment(hparam_infos=infos, metric_infos=names)
    return _hparams(metadata.EXPERIMENT_TAG, experiment=found)


def _hparam_info(name: str, values: list[Any]) -> Any:
    info = api_pb2.HParamInfo(name=name)
    if all(isinstance(value, bool) for value in values):
        info.type = api_pb2.DATA_TYPE_BOOL
    elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        info.type = api_pb2.DATA_TYPE_FLOAT64
    else:
        info.type = api_pb2.DATA_TYPE_STRING
        values = [value if isinstance(value, str) else str(value) for value in values]
    for value in sorted(set(values)):
        _set(info.domain_discrete.values.add(), value)
    return info


def _set(field: Any, value: Any) -> None:
    """Fill a ``google.protobuf.Value``; what is no flag or number is text."""
    if isinstance(value, bool):
        field.bool_value = value
    elif isinstance(value, int | float):
        field.number_value = value
    else:
        field.string_value = value if isinstance(value, str) else str(value)


def _hparams(tag: str, **content: Any) -> Summary:
    data = plugin_data_pb2.HParamsPluginData(**content)
    value = summary_pb2.Summary.Value(
        tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return summary_pb2.Summary(value=[value])
