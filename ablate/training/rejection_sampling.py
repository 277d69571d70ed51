"""Best-of-N by a reward, then supervised fine-tuning on the winners."""

from __future__ import annotations

from collections.abc import Sequence

from ablate.models.boundary import Boundary, Row
from ablate.models.loading import load_policy
from ablate.spec.stages import RejectionSamplingConfig
from ablate.store.workspace import Workspace
from ablate.training.device import pick_device
from ablate.training.examples import count_kept
from ablate.training.loop import write_summary
from ablate.training.samples import Sample, mean_score, read_samples
from ablate.training.sft import imitate
from ablate.training.streams import permutation


def run_rejection_sampling(workspace: Workspace, config: RejectionSamplingConfig) -> None:
    """Fine-tune the ``policy`` input on the picked ``samples``; write policy and summary."""
    device = pick_device()
    loaded = load_policy(workspace.inputs["policy"] / "model", device=device)
    groups = read_samples(workspace.inputs["samples"])
    picked = pick(groups, config)
    rows = [_row(loaded.boundary, sample) for sample in picked]
    rows = [row for row in rows if _length(row) <= config.max_length]
    count_kept(workspace, "completions", kept=len(rows), total=len(picked))
    steps = imitate(workspace, config, loaded, rows)
    write_summary(
        workspace,
        prompts=len(groups),
        picked=len(rows),
        score_sampled=_plain(mean_score(groups)),
        score_picked=_plain(mean_score([picked])),
        dropped_long=len(picked) - len(rows),
        steps=steps,
    )


def pick(groups: Sequence[Sequence[Sample]], config: RejectionSamplingConfig) -> list[Sample]:
    """Return the completions to imitate: one a prompt, or as many of the best of all.

    The random control draws from the same completions, so that both train on equally many. A
    prompt none of whose completions ended gives none, unless cut ones may be imitated.
    """
    allowed = [[s for s in group if s.ended or not config.skip_cut] for group in groups]
    filled = [group for group in allowed if group]
    if config.keep == "overall":
        pool = [sample for group in filled for sample in group]
        if config.pick == "random":
            return [pool[i] for i in _order(len(pool), config, "overall")[: len(filled)]]
        # Sorting is stable: among equal scores the earlier prompt counts.
        return sorted(pool, key=lambda sample: -sample.score)[: len(filled)]
    if config.pick == "random":
        return [group[_order(len(group), config, i)[0]] for i, group in enumerate(filled)]
    return [max(group, key=lambda sample: sample.score) for group in filled]


def _row(boundary: Boundary, sample: Sample) -> Row:
    """Return a sample's tokens; one that was cut gets no end token, which it never gave."""
    ids = boundary.completion_ids(sample.text)
    return Row(boundary.prompt_ids(sample.messages), ids if sample.ended else ids[:-1])


def _length(row: Row) -> int:
    return len(row.prompt) + len(row.completion)


def _order(n: int, config: RejectionSamplingConfig, *purpose: object) -> list[int]:
    return permutation(n, config.seed, "pick", *purpose)


def _plain(value: float) -> float | None:
    """Return a number for a summary, None where it is undefined."""
    return value if value == value else None
