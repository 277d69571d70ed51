# ruff: noqa: E501 - messages are written out as they appear.
"""What a user reads for each kind of mistake; every expected text is written by hand."""

import textwrap

import pytest

from ablate.errors import StudyError
from ablate.plan.cells import expand
from ablate.spec.load import study_from_text

HEAD = "study: s\nbase: {model: tiny-instruct}\n"
GRID = "grid: {dataset: [ai-fine], algorithm: [dpo]}\n"


def message(text: str, *sets: str) -> str:
    with pytest.raises(StudyError) as caught:
        expand(study_from_text(text, sets, name="s.yaml"))
    return str(caught.value)


def expected(text: str) -> str:
    return textwrap.dedent(text).strip("\n")


CASES = {
    "unknown algorithm": (
        HEAD + "grid:\n  algorithm: [dpo, gpro]\n",
        """
        s.yaml:4:20: grid.algorithm[1]: 'gpro' is not one of cdpo, d2po, dpo, dpo_margin, dpo_norm, dpo_reference_free, grpo, hinge, ipo, iterative_dpo, kto, online_dpo, orpo, ppo, reinforce, rejection_sampling, rloo, robust_dpo, self_rewarding, sft_chosen, simpo, two_phase_dpo. Did you mean 'grpo'?
              algorithm: [dpo, gpro]
                               ^
        """,
    ),
    "missing reward model": (
        HEAD + "cells:\n  a: {algorithm: ppo, reward_model: null}\n",
        """
        s.yaml:4:37: cells.a.reward_model: null is no reward model. Name a size, such as full, or score without one: policy.reward takes implicit, judge and the names of reward functions.
              a: {algorithm: ppo, reward_model: null}
                                                ^
        """,
    ),
    "unknown model": (
        "study: s\nbase:\n  model: tiny-instrct\n" + GRID,
        """
        s.yaml:3:10: base.model: 'tiny-instrct' is no model of the registry; `ablate models` lists those there are. Did you mean 'tiny-instruct'? Allowed are also a folder (./name), a GGUF file and a hub id with its commit (owner/name@<40 hexadecimal digits>).
              model: tiny-instrct
                     ^
        """,
    ),
    "a branch of a hub model": (
        "study: s\nbase:\n  model: o/m@main\n" + GRID,
        """
        s.yaml:3:10: base.model: 'o/m@main' names no commit: 'main' may be a branch or a tag, and what those hold changes; 40 hexadecimal digits are needed (to find it: python -c "from huggingface_hub import model_info; print(model_info('o/m', revision='main').sha)").
              model: o/m@main
                     ^
        """,
    ),
    "a hub model without its commit": (
        "study: s\nbase:\n  model: Qwen/Qwen2.5-0.5B\n" + GRID,
        """
        s.yaml:3:10: base.model: 'Qwen/Qwen2.5-0.5B' lacks its commit; the registry has it as 'qwen2.5-0.5b'.
              model: Qwen/Qwen2.5-0.5B
                     ^
        """,
    ),
    "unknown data set": (
        HEAD + "grid: {dataset: [ai-fien], algorithm: [dpo]}\n",
        """
        s.yaml:3:18: grid.dataset[0]: 'ai-fien' is not one of ai-fine, ai-overall, alpaca-farm-gpt4, alpaca-farm-human, capybara, chatbot-arena-2023, chatbot-arena-2024, finegrained-qa and 50 more (`ablate data` lists them). Did you mean 'ai-fine'? A file is named with its folder, such as ./pairs.jsonl.
            grid: {dataset: [ai-fien], algorithm: [dpo]}
                             ^
        """,
    ),
    "unknown preset": (
        "study: s\nbase: {model: tiny-instruct, preset: ivison}\n" + GRID,
        """
        s.yaml:2:38: base.preset: 'ivison' is not one of d2po, instructgpt, ivison-2024, tiny-instruct, tulu-2, tulu-2-qlora, zephyr. Did you mean 'ivison-2024'?
            base: {model: tiny-instruct, preset: ivison}
                                                 ^
        """,
    ),
    "unknown suite": (
        "study: s\nbase: {model: tiny-instruct, evaluation.suite: tiny}\n" + GRID,
        """
        s.yaml:2:48: base.evaluation.suite: 'tiny' is not one of ivison-2024, judged, offline, open-llm, real-chat, tiny-instruct. A suite file of your own ends in .yaml.
            base: {model: tiny-instruct, evaluation.suite: tiny}
                                                           ^
        """,
    ),
    "unknown prompt set": (
        "study: s\nbase: {model: tiny-instruct, prompts: mixed}\n" + GRID,
        """
        s.yaml:2:39: base.prompts: 'mixed' is not one of dataset, gsm8k-prompts, gsm8k-train, hh-harmless, math-prompts-20k, tiny-mixed, tiny-reasoning, ultrafeedback-code-math-prompts and 1 more (`ablate data` lists them). Did you mean 'tiny-mixed'? A file is named with its folder, such as ./pairs.jsonl.
            base: {model: tiny-instruct, prompts: mixed}
                                                  ^
        """,
    ),
    "unknown size": (
        HEAD + "grid: {dataset: [ai-fine], algorithm: [ppo], reward_model: [smal]}\n",
        """
        s.yaml:3:61: grid.reward_model[0]: 'smal' is not one of full, large, medium, small. Did you mean 'small'? These are the reward-model sizes of 'tiny-instruct'; reward_model.layers sets the depth by number.
            grid: {dataset: [ai-fine], algorithm: [ppo], reward_model: [smal]}
                                                                        ^
        """,
    ),
    "field that no algorithm has": (
        HEAD + "grid: {dataset: [ai-fine], algorithm: [dpo], policy.kl_coeff: [0.1]}\n",
        """
        s.yaml:3:46: grid.policy.kl_coeff: unknown field; no algorithm has 'kl_coeff'. Did you mean 'kl_coef'?
            grid: {dataset: [ai-fine], algorithm: [dpo], policy.kl_coeff: [0.1]}
                                                         ^
        """,
    ),
    "value out of range": (
        "study: s\nbase: {model: tiny-instruct, policy: {beta: -0.1}}\n" + GRID,
        """
        s.yaml:2:45: base.policy.beta: -0.1 is out of range; it must be above 0.0.
            base: {model: tiny-instruct, policy: {beta: -0.1}}
                                                        ^
        """,
    ),
    "word for a truth value": (
        "study: s\nbase: {model: tiny-instruct, ppo.whiten_rewards: yes}\n" + GRID,
        """
        s.yaml:2:50: base.ppo.whiten_rewards: 'yes' is not true or false. Write true.
            base: {model: tiny-instruct, ppo.whiten_rewards: yes}
                                                             ^
        """,
    ),
    "field that the program fills in": (
        "study: s\nbase: {model: tiny-instruct, policy.seed: 3}\n" + GRID,
        """
        s.yaml:2:30: base.policy.seed: 'policy.seed' is filled in by the program. Remove it.
            base: {model: tiny-instruct, policy.seed: 3}
                                         ^
        """,
    ),
    "field set twice": (
        "study: s\nbase: {model: tiny-instruct, policy: {beta: 1}, policy.beta: 2}\n" + GRID,
        """
        s.yaml:2:49: base.policy.beta: set twice in one mapping, once nested and once dotted. Keep one.
            base: {model: tiny-instruct, policy: {beta: 1}, policy.beta: 2}
                                                            ^
        """,
    ),
    "cell field at the top": (
        HEAD + GRID + "algorithm: dpo\n",
        """
        s.yaml:4:1: algorithm: unknown key; 'algorithm' is a field of a cell. Write it under base.
            algorithm: dpo
            ^
        """,
    ),
    "unknown key": (
        HEAD + GRID + "analisys: {alpha: 0.1}\n",
        """
        s.yaml:4:1: analisys: unknown key; 'analisys' is not one of analysis, base, baseline, branches, cells, datasets, exclude, expectation, grid, imported, include, ladder, match, notes, one_factor_at_a_time, question, rows, seeds, status, study, tune, zip. Did you mean 'analysis'?
            analisys: {alpha: 0.1}
            ^
        """,
    ),
    "no design": (
        HEAD,
        """
        s.yaml:1:1: no design; a study has one of grid, ladder, one_factor_at_a_time, cells, or rows under imported. Add one.
            study: s
            ^
        """,
    ),
    "two designs": (
        HEAD + GRID + "cells: {a: {}}\n",
        """
        s.yaml:4:1: cells: a second design beside grid; a study has one. Keep one.
            cells: {a: {}}
            ^
        """,
    ),
    "seeds below one": (
        HEAD + GRID + "seeds: 0\n",
        """
        s.yaml:4:8: seeds.n: 0 is out of range; it must be at least 1.
            seeds: 0
                   ^
        """,
    ),
    "one problem for a seed that is no number": (
        HEAD + GRID + "seeds: many\n",
        """
        s.yaml:4:8: seeds: 'many' is neither a number of seeds nor a mapping of n, looks and vary. Write 3, {looks: [3, 5]} or {n: 3, vary: [policy]}.
            seeds: many
                   ^
        """,
    ),
    "empty factor": (
        HEAD + "grid: {dataset: [], algorithm: [dpo]}\n",
        """
        s.yaml:3:17: grid.dataset: no levels; a factor needs at least one. Add levels or remove the factor.
            grid: {dataset: [], algorithm: [dpo]}
                            ^
        """,
    ),
    "level listed twice": (
        HEAD + "grid: {dataset: [ai-fine], algorithm: [dpo], policy.beta: [0.1, 1e-1]}\n",
        """
        s.yaml:3:65: grid.policy.beta[1]: '0.1' is listed twice. Keep one.
            grid: {dataset: [ai-fine], algorithm: [dpo], policy.beta: [0.1, 1e-1]}
                                                                            ^
        """,
    ),
    "factor that is not identity": (
        HEAD + "grid: {dataset: [ai-fine], algorithm: [dpo], policy.micro_batch_size: [4]}\n",
        """
        s.yaml:3:46: grid.policy.micro_batch_size: this field says where or how fast a job runs, not what it computes. Set it under base.
            grid: {dataset: [ai-fine], algorithm: [dpo], policy.micro_batch_size: [4]}
                                                         ^
        """,
    ),
    "factor that no cell uses": (
        HEAD + "grid: {dataset: [ai-fine], algorithm: [dpo], prompts: [tiny-mixed]}\n",
        """
        s.yaml:3:46: grid.prompts: no cell uses this factor; cells train with dpo. Remove the factor or set `algorithm`.
            grid: {dataset: [ai-fine], algorithm: [dpo], prompts: [tiny-mixed]}
                                                         ^
        """,
    ),
    "zip of unequal lengths": (
        HEAD
        + "grid: {algorithm: [dpo]}\n"
        + "zip: {dataset: [ai-fine], policy.beta: [0.1, 0.2]}\n",
        """
        s.yaml:4:6: zip[0]: factors that vary together have unequal numbers of levels: dataset has 1, policy.beta has 2. Make them equal.
            zip: {dataset: [ai-fine], policy.beta: [0.1, 0.2]}
                 ^
        """,
    ),
    "exclude that matches nothing": (
        HEAD
        + "grid: {algorithm: [dpo]}\n"
        + "zip: {dataset: [ai-fine, human-noisy], policy.beta: [0.1, 0.2]}\n"
        + "exclude:\n  - {dataset: ai-fine, policy.beta: 0.2}\n",
        """
        s.yaml:6:5: exclude[0]: matches no cell; its levels are never combined. Remove it.
              - {dataset: ai-fine, policy.beta: 0.2}
                ^
        """,
    ),
    "exclude that matches everything": (
        HEAD + GRID + "exclude: [{algorithm: dpo}]\n",
        """
        s.yaml:4:1: exclude: every cell is excluded. Remove an entry.
            exclude: [{algorithm: dpo}]
            ^
        """,
    ),
    "exclude of an unknown level": (
        HEAD + GRID + "exclude: [{algorithm: ppo}]\n",
        """
        s.yaml:4:23: exclude[0].algorithm: 'ppo' is not one of dpo. Did you mean 'dpo'?
            exclude: [{algorithm: ppo}]
                                  ^
        """,
    ),
    "include of an unknown factor": (
        HEAD + GRID + "include: [{dataset: human-noisy, algorithm: ppo, zzz: 1}]\n",
        """
        s.yaml:4:50: include[0].zzz: unknown factor; 'zzz' is not one of algorithm, dataset.
            include: [{dataset: human-noisy, algorithm: ppo, zzz: 1}]
                                                             ^
        """,
    ),
    "baseline that is no cell": (
        HEAD + GRID + "rows: [sft]\nbaseline: stf\n",
        """
        s.yaml:5:11: baseline: 'stf' is not one of 'ai-fine, dpo', sft. Did you mean 'sft'?
            baseline: stf
                      ^
        """,
    ),
    "baseline of an unknown factor": (
        HEAD + GRID + "baseline: {algoritm: dpo}\n",
        """
        s.yaml:4:12: baseline.algoritm: unknown factor; 'algoritm' is not one of algorithm, dataset. Did you mean 'algorithm'?
            baseline: {algoritm: dpo}
                       ^
        """,
    ),
    "branch from nowhere": (
        HEAD + "ladder: [DPO: {algorithm: dpo, dataset: ai-fine}]\nbranches: {b: {from: DOP}}\n",
        """
        s.yaml:4:22: branches.b.from: 'DOP' is not one of DPO. Did you mean 'DPO'?
            branches: {b: {from: DOP}}
                                 ^
        """,
    ),
    "two cells that are the same": (
        HEAD
        + "cells:\n  a: {algorithm: dpo, dataset: ai-fine}\n"
        + "  b: {algorithm: dpo, dataset: ai-fine, policy.kl_coef: 1}\n",
        """
        s.yaml:5:3: cells.b: 'b' is the same as 'a': both train and evaluate alike. Remove or change one.
              b: {algorithm: dpo, dataset: ai-fine, policy.kl_coef: 1}
              ^
        """,
    ),
    "no data set": (
        HEAD + "cells:\n  a: {algorithm: dpo}\n",
        """
        s.yaml:4:6: cells.a: cell 'a': dataset: no preference data set; allowed are human-noisy, web-narrow, ai-overall, ai-fine, hh-harmless, rasbt-polite, oasst-pairs, finegrained-qa and files. Set `dataset`.
              a: {algorithm: dpo}
                 ^
        """,
    ),
    "row without its stage": (
        "study: s\nbase: {model: tiny-instruct, sft: null}\nrows: [sft]\n" + GRID,
        """
        s.yaml:3:8: rows[0]: 'sft', but base.sft is null: there is no SFT stage. Remove the row.
            rows: [sft]
                   ^
        """,
    ),
    "tab": (
        "study: s\nbase:\n\tmodel: tiny-instruct\n",
        """
        s.yaml:3:1: a tab; YAML is indented with spaces. Replace the tab by spaces.
            \tmodel: tiny-instruct
            ^
        """,
    ),
    "duplicate key": (
        HEAD + GRID + "study: t\n",
        """
        s.yaml:4:1: 'study' is set a second time; line 1 set it first. Keep one.
            study: t
            ^
        """,
    ),
    "merge key": (
        "study: s\nbase: {model: tiny-instruct}\ncells:\n  a: {<<: {algorithm: dpo}}\n",
        """
        s.yaml:4:7: the merge key '<<'; it is not part of YAML 1.2. Write the fields out.
              a: {<<: {algorithm: dpo}}
                  ^
        s.yaml:4:7: cells.a['<<']: unknown field; '<<' is not one of algorithm, dataset, evaluation, labels, model, policy, preferences, preset, prompts, reward_evaluation, reward_model, sft, and an algorithm's name.
              a: {<<: {algorithm: dpo}}
                  ^
        """,
    ),
    "list instead of a study": (
        "- study: s\n",
        """
        s.yaml:1:1: a list; a study is a mapping of keys to values, such as `study: my-study`.
            - study: s
            ^
        """,
    ),
    "unclosed bracket": (
        "study: [s\n",
        """
        s.yaml:2:1: not valid YAML: did not find expected ',' or ']'.
        """,
    ),
    "empty file": (
        "# nothing yet\n",
        "s.yaml: the file is empty; a study has at least a name and a design.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_message_for(case):
    text, wanted = CASES[case]
    assert message(text) == expected(wanted)


def test_all_problems_of_a_file_are_reported_at_once_in_its_order():
    text = (
        "study: two words\nbase: {model: tiny-instruct, policy.bta: 1}\nrows: [stf]\n"
        "seeds: 0\ngrid: {dataset: [ai-fien], algorithm: [dpo, gpro]}\nalpha: 0.1\n"
    )
    places = [line.split(": ")[0] for line in message(text).splitlines() if line[0] != " "]
    assert places == [
        "s.yaml:1:8",
        "s.yaml:2:30",
        "s.yaml:3:8",
        "s.yaml:4:8",
        "s.yaml:5:18",
        "s.yaml:5:45",
        "s.yaml:6:1",
    ]


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("policy.beta=x", "--set policy.beta=x: base.policy.beta: 'x' is not a number."),
        ("seeds.n=0", "--set seeds.n=0: seeds.n: 0 is out of range; it must be at least 1."),
        ("policy.beta", "--set policy.beta: not path=value, such as --set policy.beta=0.2."),
        ("a=[1", "--set a=[1: not valid YAML: did not find expected ',' or ']'."),
    ],
)
def test_a_problem_of_an_option_names_the_option(option, wanted):
    assert message(HEAD + GRID, option) == wanted
