from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablate.data.prompts import load_prompts
from ablate.errors import AblateError


def prompt_file(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_prompt_file_may_hold_the_right_answers(tmp_path: Path) -> None:
    rows = [
        {"prompt": "3 + 4 ?", "target": 7},
        {"prompt": "who ?", "target": "me"},
        {"prompt": "?"},
    ]
    prompts = load_prompts(str(prompt_file(tmp_path, *rows)), examples=None, seed=0)
    assert [prompt.target for prompt in prompts] == ["7", "me", None]


def test_a_target_that_is_no_text_is_named_with_its_row(tmp_path: Path) -> None:
    path = prompt_file(tmp_path, {"prompt": "a", "target": "b"}, {"prompt": "c", "target": [1]})
    with pytest.raises(AblateError, match=r"2.*column 'target' is list; a string is needed"):
        load_prompts(str(path), examples=None, seed=0)
