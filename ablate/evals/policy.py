"""The evaluation stage: one policy on one suite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ablate.evals.adapter import SharedModel, available_device
from ablate.evals.divergence import Divergence, add_divergence
from ablate.evals.extra_rewards import add_rewards, reward_metrics
from ablate.evals.real_chat import add_implicit_accuracy
from ablate.evals.records import SAMPLES, Metric, Unit, readable, write_lines, write_scores
from ablate.evals.suites import Suite, load_suite
from ablate.evals.tasks import Scored, run_tasks
from ablate.evals.tree import mean, score_tree
from ablate.models.loading import LoadedModel, load_policy
from ablate.spec.stages import EvaluationConfig
from ablate.store.workspace import Workspace

PREFIXES: Mapping[str, str] = {"sampled": "", "greedy": "greedy_"}
"""What the names of a mode's metrics begin with."""


def run(workspace: Workspace) -> None:
    """Evaluate the ``policy`` input; with a ``reference`` input also how far it has moved from it.

    Writes ``scores.json`` and ``samples.jsonl``.
    """
    config = workspace.config
    assert isinstance(config, EvaluationConfig)
    suite = load_suite(config)
    policy = SharedModel(_load(workspace, "policy"), seed=config.seed)
    with workspace.timed("rollout"):
        outputs = run_tasks(suite.tasks, policy, limit=config.limit)
    workspace.progress(1, 2)
    divergence = None
    if "reference" in workspace.inputs:
        reference = SharedModel(_load(workspace, "reference"))
        with workspace.timed("scoring"):
            divergence = _against(reference, outputs, suite=suite, config=config)
    add_rewards(outputs, config)
    generated = [out.generation for out in outputs if out.generation is not None]
    workspace.count(generated_tokens=sum(len(generation.tokens) for generation in generated))
    write_lines(workspace.output / SAMPLES, (_line(out) for out in outputs))
    metrics = [
        *_metrics(suite, outputs),
        *_diagnostics(outputs, divergence, nonfinite=policy.nonfinite),
    ]
    metrics += reward_metrics(outputs, config, known=metrics)
    write_scores(workspace.output, metrics, suite=suite.name)
    workspace.progress(2, 2)


def _load(workspace: Workspace, role: str) -> LoadedModel:
    return load_policy(workspace.inputs[role] / "model", device=available_device())


def _against(
    reference: SharedModel,
    outputs: Sequence[Scored],
    *,
    suite: Suite,
    config: EvaluationConfig,
) -> Divergence:
    choices = [task for task in suite.tasks if task.mode == "choices"]
    if choices:
        pairs = [out for out in outputs if out.mode == "choices"]
        add_implicit_accuracy(pairs, run_tasks(choices, reference, limit=config.limit))
    sampled = [out for out in outputs if out.mode == "sampled"]
    return add_divergence(sampled, reference, temperature=config.temperature)


def _metrics(suite: Suite, outputs: Sequence[Scored]) -> Iterator[Metric]:
    """Yield categories, average and gold of both modes, then the details of each task."""
    for mode, prefix in PREFIXES.items():
        of_mode = [out for out in outputs if out.mode == mode]
        yield from tree_metrics(suite, of_mode, prefix=prefix)
        gold = [out.scores["gold"] for out in of_mode if "gold" in out.scores]
        if gold:
            items = _documents(of_mode)
            yield Metric(f"{prefix}gold", "diagnostic", mean(gold), items, "higher", "reward")
    for (task, mode), of_task in _by_task(outputs).items():
        if task in suite.details:
            yield from suite.details[task](of_task, PREFIXES.get(mode, ""))


def tree_metrics(suite: Suite, outputs: Sequence[Scored], *, prefix: str) -> Iterator[Metric]:
    """Yield the scores of the suite's categories and their average, in percent."""
    tasks = _by_task(outputs)
    by_name = {task: of_task for (task, _), of_task in tasks.items()}
    scores = {
        leaf.task: 100.0 * mean(out.scores[leaf.metric] for out in by_name[leaf.task])
        for leaves in suite.tree.values()
        for leaf in leaves
        if leaf.task in by_name
    }
    result = score_tree(suite.tree, scores)
    for category, value in result.categories.items():
        items = _documents([out for out in outputs if out.category == category])
        yield Metric(f"{prefix}{category}", "category", value, items, "higher", "percent")
    items = _documents([out for out in outputs if out.category is not None])
    yield Metric(f"{prefix}average", "average", result.average, items, "higher", "percent")


def _diagnostics(
    outputs: Sequence[Scored], divergence: Divergence | None, *, nonfinite: int
) -> Iterator[Metric]:
    for mode, prefix in PREFIXES.items():
        made = [
            out.generation for out in outputs if out.mode == mode and out.generation is not None
        ]
        items = _documents([out for out in outputs if out.mode == mode])
        values = {
            "length_tokens": mean(len(generation.tokens) for generation in made),
            "ended_fraction": mean(generation.ended for generation in made),
            "distinct_fraction": len(set(made)) / len(made) if made else math.nan,
            "empty_fraction": mean(not generation.strip() for generation in made),
        }
        for name, value in values.items():
            unit: Unit = "tokens" if name == "length_tokens" else "fraction"
            yield Metric(f"{prefix}{name}", "diagnostic", value, items, "none", unit)
    items = _documents(outputs)
    yield Metric("nonfinite", "diagnostic", float(nonfinite), items, "lower", "count")
    if divergence is not None:
        items = _documents([out for out in outputs if out.mode == "sampled"])
        for name, nats in vars(divergence).items():
            yield Metric(name, "diagnostic", nats, items, "none", "nats")


def _documents(outputs: Sequence[Scored]) -> int:
    return len({(out.task, out.item.id) for out in outputs})


def _by_task(outputs: Sequence[Scored]) -> dict[tuple[str, str], list[Scored]]:
    tasks: dict[tuple[str, str], list[Scored]] = {}
    for out in outputs:
        tasks.setdefault((out.task, out.mode), []).append(out)
    return tasks


def _line(out: Scored) -> dict[str, object]:
    generation = out.generation
    return {
        "task": out.task,
        "category": out.category,
        "doc_id": out.item.id,
        "doc_hash": out.doc_hash,
        "prompt_hash": out.prompt_hash,
        "mode": out.mode,
        "sample": out.sample,
        "prompt": readable(out.item.messages),
        "output": str(generation) if generation is not None else "",
        "target": out.item.target,
        "scores": out.scores,
        "length_tokens": len(generation.tokens) if generation is not None else None,
        "ended": generation.ended if generation is not None else None,
        "kl_nats": out.kl_nats,
    }
