"""TensorBoard's own HParams backend, asked what its tab would show."""

from __future__ import annotations

import json
from pathlib import Path

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from ablate.tracking.events import JobCommitted, Recorded, RunFinished, RunStarted, run_key
from ablate.tracking.tensorboard_events import TensorboardDestination


def write(store: Path) -> None:
    """Two cells that differ in beta and algorithm, two seeds each; scores 10, 20 and 30, 40."""
    to = TensorboardDestination(store, "s")
    for place, (cell, beta) in enumerate([("dpo", 0.1), ("ipo [x]", 0.2)]):
        for seed in (0, 1):
            fingerprint = f"{cell[0]}{seed}"
            key = run_key(cell, seed, [fingerprint])
            params = {"policy": {"beta": beta, "seed": seed, "steps": 8}}
            folder = store / "artifacts" / fingerprint
            folder.mkdir(parents=True)
            score = {"metric": "average", "value": 10.0 * (2 * place + seed + 1)}
            (folder / "scores.json").write_text(json.dumps({"metrics": [score]}))
            job = JobCommitted(
                *("evaluation", fingerprint, 1, f"artifacts/{fingerprint}", "m.json"),
                *({}, {}, (key,)),
            )
            events = (RunStarted(key, cell, seed, params, {"algorithm": cell}), job)
            for event in (*events, RunFinished(key)):
                to.deliver(Recorded(1_700_000_000_000 + seed, event))
    to.flush()


def test_the_tab_groups_seeds_and_lists_what_differs_beside_the_final_scores(
    tmp_path: Path,
) -> None:
    write(tmp_path)
    multiplexer = EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(tmp_path / "tensorboard" / "s"))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, "")
    context = backend_context.Context(TBContext(data_provider=provider))
    request = RequestContext()
    metadata = context.hparams_metadata(request, "")
    found = context.experiment_from_metadata(request, "", True, metadata, [])
    # Steps are the same everywhere and seeds are no setting.
    assert {info.name for info in found.hparam_infos} == {"factor.algorithm", "policy.beta"}
    assert [info.name.tag for info in found.metric_infos] == ["evaluation/average"]
    asked = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        col_params=[api_pb2.ColParams(metric=info.name) for info in found.metric_infos],
        aggregation_type=api_pb2.AGGREGATION_AVG,
        slice_size=10,
    )
    handler = list_session_groups.Handler(request, context, "", asked)
    groups = handler.run().session_groups
    assert {
        group.hparams["factor.algorithm"].string_value: (
            group.hparams["policy.beta"].number_value,
            len(group.sessions),
            group.metric_values[0].value,
        )
        for group in groups
    } == {"dpo": (0.1, 2, 15.0), "ipo [x]": (0.2, 2, 35.0)}
