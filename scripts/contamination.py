"""Compare data files with each other: ``python scripts/contamination.py FOLDER [examples]``.

FOLDER holds one folder for each data set, with files named as in ``FILES``; those that are absent
are left out. Every set's prompts are looked for in the prompts and replies of every set, so that
the table shows training data against evaluation data as well as what evaluation sets share. Prints
Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.data.converters.hh import alternating, turns
from ablate.data.hygiene.exposure import contamination_report, document_text
from ablate.data.hygiene.exposure_page import examples_markdown, exposure_markdown
from ablate.data.reading.files import read_rows
from ablate.data.records import Demonstration, Document, Messages, Prompt, user
from ablate.data.shaping.items import Item, leading, prompt_of

Texts = tuple[Messages, tuple[str, ...]]
"""A row's prompt, and all texts that a model would learn to write."""
_SHAREGPT = {"human": "user", "gpt": "assistant", "system": "system"}
_HEADER, _END = "### Instruction:\n", "### Response:"


def columns(prompt: str, *replies: str) -> Callable[[Mapping[str, Any]], Texts]:
    """Return the reader of rows with plain text columns; lists are joined by lines."""

    def read(row: Mapping[str, Any]) -> Texts:
        found = (row[name] for name in replies)
        return user(row[prompt]), tuple(
            "\n".join(map(str, value)) if isinstance(value, list) else str(value) for value in found
        )

    return read


def alpaca_template(row: Mapping[str, Any]) -> Texts:
    """Return what stands between the headers of Alpaca's template."""
    asked = row["prompt"].partition(_HEADER)[2].rpartition(_END)[0]
    return user(asked.strip()), (row["response"],)


def hh(row: Mapping[str, Any]) -> Texts:
    """Return HH's dialogue without its last turn, and both last turns."""
    chosen, rejected = alternating(turns(row["chosen"])), alternating(turns(row["rejected"]))
    return chosen[:-1], (chosen[-1]["content"], rejected[-1]["content"])


def sharegpt(row: Mapping[str, Any]) -> Texts:
    """Return a conversation with its two replies beside it."""
    said = [{"role": _SHAREGPT[m["from"]], "content": m["value"]} for m in row["conversations"]]
    return said, (row["chosen"]["value"], row["rejected"]["value"])


def messages(row: Mapping[str, Any]) -> Texts:
    """Return a conversation that ends in the reply."""
    return row["messages"][:-1], (row["messages"][-1]["content"],)


def instruction(row: Mapping[str, Any]) -> Texts:
    """Return an instruction with its input, and every reply to it."""
    asked = "\n".join(filter(None, (row["instruction"], row["input"])))
    return user(asked), (row["output"], row["chosen"], row["rejected"])


def instances(row: Mapping[str, Any]) -> Texts:
    """Return an instruction with its first input, and all outputs."""
    asked = "\n".join(filter(None, (row["instruction"], row["instances"][0]["input"])))
    return user(asked), tuple(instance["output"] for instance in row["instances"])


def mt_bench(row: Mapping[str, Any]) -> Texts:
    """Return all turns of the user."""
    return [{"role": "user", "content": turn} for turn in row["turns"]], ()


def oasst(row: Mapping[str, Any]) -> Texts:
    """Return a list of messages, and both replies."""
    return row["prompt"], (row["chosen"], row["rejected"])


FILES: Mapping[str, Callable[[Mapping[str, Any]], Texts]] = {
    "alpaca_eval/alpaca_eval_prompts": columns("instruction", "text_davinci_003"),
    "arc/arc_challenge": columns("query", "choices"),
    "arc/arc_easy": columns("query", "choices"),
    "bbh/bbh": columns("input", "target"),
    "dolly_hhrlhf_small/dolly_hhrlhf_small": alpaca_template,
    "finegrained_qa_feedback_dev/finegrained_qa_feedback_dev": columns(
        "question", "gold", "prediction 1", "prediction 2", "prediction 3", "prediction 4"
    ),
    "gsm8k/gsm8k_test": columns("question", "answer"),
    "gsm8k/gsm8k_train": columns("question", "answer"),
    "hh_harmless_base_test/hh_harmless_base_test": hh,
    "humaneval/humaneval": columns("prompt", "canonical_solution"),
    "ifeval/ifeval": columns("prompt"),
    "llamafactory_dpo_en_demo/llamafactory_dpo_en_demo": sharegpt,
    "llamafactory_kto_en_demo/llamafactory_kto_en_demo": messages,
    "mbpp/mbpp": columns("text", "code"),
    "mmlu_head30/mmlu_head30": columns("question", "choices"),
    "mt_bench/mt_bench_questions": mt_bench,
    "oasst_en_100_pairs/oasst_en_100_pairs": oasst,
    "rasbt_instruction_preference/rasbt_instruction_preference": instruction,
    "self_instruct_seed/self_instruct_seed": instances,
    "stack_exchange_paired_tiny/stack_exchange_paired_tiny": columns(
        "question", "response_j", "response_k"
    ),
    "toxigen_prompts_head25/toxigen_prompts_head25": columns("prompt"),
    "truthfulqa/truthfulqa": columns("Question", "Correct Answers", "Incorrect Answers"),
    "xstest/xstest": columns("prompt"),
}


def items(path: Path) -> Iterator[Item]:
    """Yield a file's rows; their replies are joined, so that each is looked at."""
    name = path.name.partition(".")[0]
    read = FILES[f"{path.parent.name}/{name}"]
    for number, row in read_rows(path):
        prompt, replies = read(row)
        if replies:
            yield Demonstration(prompt, "\n\n".join(replies), id=f"{name}-{number}")
        else:
            yield Prompt(f"{name}-{number}", prompt)


def documents(rows: Iterable[Item]) -> list[Document]:
    """Return the prompts of rows as evaluation items."""
    return [Document(leading(row).id, prompt_of(row), "prompt") for row in rows]


def main() -> None:
    """Print the table and the strongest findings of each line."""
    folder = Path(sys.argv[1])
    most = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    paths = [folder / f"{name}.jsonl.gz" for name in FILES]
    training = {p.name.partition(".")[0]: list(items(p)) for p in paths if p.exists()}
    evaluation = {name: documents(rows) for name, rows in training.items()}
    exposures = contamination_report(training, evaluation)
    texts = {
        (name, document.id): document_text(document) or ""
        for name, found in evaluation.items()
        for document in found
    }
    print(exposure_markdown(exposures))
    print(examples_markdown(exposures, texts, most=most))


if __name__ == "__main__":
    main()
