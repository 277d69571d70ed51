"""DPO and SFT in plain PyTorch and transformers, as a training command of a study.

It knows nothing of this library: everything it is told stands in job.json, and everything it hands
back lies in the output folder. `python train.py JOB`; docs/backends.md has the contract.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

Row = dict[str, Any]


def main() -> None:
    """Train what the job asks for."""
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    started = time.monotonic()
    torch.set_num_threads(job["threads"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.float32)
    model = model.to(job["device"]).eval()
    losses = {"sft": sft_loss, "dpo": dpo_loss}
    output = Path(job["output"])
    if job["algorithm"] not in losses:
        message = f"this script trains {', '.join(losses)}, not {job['algorithm']}"
        finish(output, status="failed", message=message, kind="bad_data")
        return
    data = job["data"]["pairs"] or job["data"]["demonstrations"]
    rows = [json.loads(line) for line in Path(data).read_text(encoding="utf-8").splitlines()]
    tokens = train(model, rows, job, loss_of=losses[job["algorithm"]])
    model.save_pretrained(output / "model")
    AutoTokenizer.from_pretrained(job["model"]).save_pretrained(output / "model")
    seconds = {"training": time.monotonic() - started}
    finish(output, status="ok", counts={"trained_tokens": tokens}, seconds=seconds)


def train(model: Any, rows: list[Row], job: Row, *, loss_of: Any) -> int:
    """Take one optimizer step a batch, write one line of metrics each; return the tokens."""
    config, order = job["config"], random.Random(job["seed"])
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config["learning_rate"],
        betas=(config["adam_beta1"], config["adam_beta2"]),
        eps=config["adam_epsilon"],
        weight_decay=config["weight_decay"],
    )
    size = config["batch_size"]
    total = config["epochs"] * -(-len(rows) // size)
    step = tokens = 0
    with open(Path(job["output"]) / "metrics.jsonl", "w", encoding="utf-8") as metrics:
        for _ in range(config["epochs"]):
            order.shuffle(rows)
            for start in range(0, len(rows), size):
                batch = rows[start : start + size]
                loss, seen = loss_of(model, batch, config)
                optimizer.zero_grad()
                loss.backward()
                norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config["max_grad_norm"])
                for group in optimizer.param_groups:
                    group["lr"] = config["learning_rate"] * (1 - step / total)
                optimizer.step()
                line = {"step": step, "loss": loss.item(), "grad_norm": norm.item()}
                metrics.write(json.dumps(line) + "\n")
                step, tokens = step + 1, tokens + seen
    return tokens


def sft_loss(model: Any, batch: list[Row], config: Row) -> tuple[Tensor, int]:
    """Return the mean negative log-likelihood of completion tokens, and their number."""
    tokens = sum(len(row["completion_ids"]) for row in batch)
    return -logprobs(model, batch, "completion").sum() / tokens, tokens


def dpo_loss(model: Any, batch: list[Row], config: Row) -> tuple[Tensor, int]:
    """Return the mean DPO loss of pairs against the stored reference, and the tokens."""
    margin = logprobs(model, batch, "chosen") - logprobs(model, batch, "rejected")
    reference = torch.tensor(
        [row["reference_chosen_logp"] - row["reference_rejected_logp"] for row in batch]
    )
    tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in batch)
    return -F.logsigmoid(config["beta"] * (margin - reference.to(margin))).mean(), tokens


def logprobs(model: Any, batch: list[Row], side: str) -> Tensor:
    """Return the summed log-probability of each row's completion, shape (batch,)."""
    texts = [row["prompt_ids"] + row[f"{side}_ids"] for row in batch]
    width = max(map(len, texts))
    ids = torch.tensor([text + [0] * (width - len(text)) for text in texts])
    places = torch.arange(1, width)
    begins = torch.tensor([len(row["prompt_ids"]) for row in batch])
    ends = torch.tensor([len(text) for text in texts])
    mask = (places >= begins[:, None]) & (places < ends[:, None])
    attended = (torch.arange(width) < ends[:, None]).long()
    device = model.device
    logits = model(input_ids=ids.to(device), attention_mask=attended.to(device)).logits
    chosen = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None].to(device))
    return (chosen.squeeze(-1) * mask.to(device)).sum(-1)


def finish(output: Path, **fields: Any) -> None:
    """Write result.json, the last thing that a command does."""
    text = json.dumps({"schema": 1, **fields}, indent=1)
    (output / "result.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
