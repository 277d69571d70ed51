"""Self-rewarding language models (arXiv:2401.10020): the policy judges its own samples."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ablate.data.records import Demonstration
from ablate.models.boundary import Row
from ablate.models.loading import LoadedModel
from ablate.models.token_store import lengths_of
from ablate.models.tokenizing import demonstration_table
from ablate.rewards.judge import JudgeReward, JudgeTemplate, judge_examples
from ablate.spec.stages import SelfRewardingConfig
from ablate.store.workspace import Workspace
from ablate.training.examples import count_kept, fitting_demonstrations, needed_pairs
from ablate.training.learner import Learner, settings_of
from ablate.training.loop import Pace, train
from ablate.training.online import OnlineLoop
from ablate.training.order import bucketed_batches
from ablate.training.ranked import RankedUpdate, as_steps
from ablate.training.sft import SftObjective

LEARNED = "learners"
"""Key of the online loop's checkpoints, which come after those of the first training."""


def run_self_rewarding(workspace: Workspace, config: SelfRewardingConfig) -> None:
    """Teach the ``policy`` input to judge, then train it on its own ranked samples, in rounds."""
    rounds = as_steps(config)
    loop = OnlineLoop(workspace, rounds)
    loaded = LoadedModel(loop.terms.model, loop.tokenizer, loop.boundary)
    judge = JudgeReward(loaded)
    loop.first_step = _teach(workspace, loop, config, judge.template)
    update = RankedUpdate(loop.terms, rounds, steps=loop.steps)
    loop.run(update, judge)
    loop.finish(judge_steps=loop.first_step)


def _teach(
    workspace: Workspace, loop: OnlineLoop, config: SelfRewardingConfig, template: JudgeTemplate
) -> int:
    """Train the policy to judge and to answer; return the optimizer steps that takes.

    The paper's seed data, both halves: verdicts on both replies of every pair (EFT), and the chosen
    replies themselves (IFT). Its verdicts are written critiques with a score; these are a word.
    """
    rows = _examples(workspace, loop, config, template)
    batches = bucketed_batches(
        lengths_of(rows), config.batch_size, epochs=config.judge_epochs, seed=config.seed
    )
    state = workspace.load_checkpoint()
    if state is not None and LEARNED in state:
        return len(batches)
    settings = settings_of(config, len(batches), peak=config.judge_learning_rate)
    learner = Learner(loop.terms.trainable, settings)
    objective = SftObjective(loop.terms.model, rows)
    pace = Pace.of(config, loop.device)
    train(workspace, learner, objective, batches=batches, pace=pace)
    workspace.save_checkpoint({"learner": learner.state()})
    return len(batches)


def _examples(
    workspace: Workspace, loop: OnlineLoop, config: SelfRewardingConfig, template: JudgeTemplate
) -> Sequence[Row]:
    pairs = needed_pairs(workspace.inputs)
    verdicts = (example for pair in pairs for example in judge_examples(pair, template))
    answers = (Demonstration(pair.prompt, pair.chosen, pair.category) for pair in pairs)
    examples = demonstration_table(loop.boundary, itertools.chain(verdicts, answers))
    # A question about a reply is longer than the reply: the limit is on what is answered.
    limit = config.max_length * 2
    rows = fitting_demonstrations(examples, limit)
    count_kept(workspace, "examples", kept=len(rows), total=len(examples))
    workspace.count(preferences=len(pairs))
    return rows
