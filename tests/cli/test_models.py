"""``ablate models``: the list, one model's page, and what this machine lacks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ablate
from ablate.cli.main import main
from ablate.cli.models_command import EXAMPLE, rendered, standing
from ablate.plan.model_memory import weight_bytes
from ablate.spec.registry import registry

MODELS = registry().models
PAGE = Path(ablate.__file__).parents[1] / "docs" / "models.md"
HEAVY = ("torch", "transformers", "huggingface_hub", "mlflow", "pandas", "pyarrow")


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No copies, no cache, and a network."""
    for name in ("ABLATE_MODEL_DIR", "HF_HUB_OFFLINE", "HF_HOME", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


def printed(capsys, *arguments) -> str:
    assert main(["models", *arguments]) == 0
    return capsys.readouterr().out


def test_the_list_has_a_row_for_every_model(capsys):
    rows = {line.split()[0]: line for line in printed(capsys).splitlines() if line.strip()}
    assert set(MODELS) <= set(rows)
    # 6,738,149,376 weights of 4, 2, about 1 and about half a byte; embeddings stay in two.
    assert rows["llama-2-7b"].split()[1:8] == [
        *("6.7B", "llama2*", "27.0", "13.5", "7.0", "3.9", "tulu")
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
@pytest.mark.parametrize("name", [None, "llama-2-7b", "tulu-2-7b", "qwen2.5-0.5b-instruct"])
def test_no_line_is_wider_than_the_terminal(capsys, monkeypatch, width, name):
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, *([name] if name else [])).splitlines()
    if name is None:
        assert max(map(len, lines)) <= max(width, 45)  # Name, count and standing always stay.
    else:
        # A hub id with its commit is one word, and memory is a table of four columns.
        assert [line for line in lines if len(line) > width and "@" not in line] == []


def test_a_narrow_terminal_says_which_columns_it_goes_without(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert "Left out, for the width of the terminal: template" in printed(capsys)


def test_the_list_says_why_a_model_cannot_be_used(capsys, monkeypatch):
    monkeypatch.setattr("ablate.cli.models_command._machine_bytes", lambda: None)
    text = " ".join(printed(capsys).split())
    assert "no: no commit on record and no copy below ABLATE_MODEL_DIR: tulu-2-7b" in text


def test_a_page_shows_everything_about_a_model(capsys):
    text = printed(capsys, "llama-2-7b")
    for part in (
        "meta-llama/Llama-2-7b-hf@01c7f73d771dfac7d292323805ebc428287df4f9",
        "llama2, gated",
        "6,738,149,376 without norms and biases; published 6,738,415,616",
        "32 blocks of width 4,096",
        "small of 11 blocks",
        "fp32 27 GB, bf16 13 GB, int8 7.0 GB, nf4 3.9 GB",
        "reward_model",
        "ppo",
        "chat template tulu, imported with the weights",
        "  | <s><|user|>\n  | What is two and two?\n  | <|assistant|>\n  | Four.</s>\n",
    ):
        assert part in text


def test_a_model_is_also_found_by_its_hub_id(capsys):
    expected = printed(capsys, "opt-125m")
    assert printed(capsys, "facebook/opt-125m") == expected
    assert printed(capsys, f"facebook/opt-125m@{'0' * 40}") == expected


def test_an_unknown_model_exits_with_2_and_names_the_nearest(capsys):
    assert main(["models", "lama-2-7b"]) == 2
    assert "Did you mean 'llama-2-7b'?" in capsys.readouterr().err


def test_json_has_the_numbers_of_every_model(capsys):
    found = {row["name"]: row for row in json.loads(printed(capsys, "--json"))}
    assert set(found) == set(MODELS)
    shape = MODELS["opt-125m"].shape
    assert found["opt-125m"]["weight_bytes"]["bf16"] == 2 * shape.parameters
    one = json.loads(printed(capsys, "opt-125m", "--json"))
    assert one == found["opt-125m"]
    assert {row["stage"] for row in one["training_bytes"]} == {"sft", "reward_model", "dpo", "ppo"}


def stand(name: str):
    return standing(name, MODELS[name])


def test_where_a_model_comes_from_decides_whether_it_can_be_used(tmp_path, monkeypatch):
    assert stand("tiny-instruct").word == "yes"
    assert stand("opt-125m").word == "download"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "HF_HUB_OFFLINE is set" in stand("opt-125m").reason
    hub = MODELS["opt-125m"].hub
    cached = tmp_path / "cache" / "models--facebook--opt-125m" / "snapshots" / hub.revision
    cached.mkdir(parents=True)
    (cached / "config.json").write_text("{}")
    assert stand("opt-125m").reason == "in the hub's cache"
    copy = tmp_path / "copies" / "facebook" / "opt-125m"
    copy.mkdir(parents=True)
    monkeypatch.setenv("ABLATE_MODEL_DIR", str(tmp_path / "copies"))
    assert "has no config.json" in stand("opt-125m").reason
    (copy / "config.json").write_text("{}")
    assert stand("opt-125m").reason == "a copy below ABLATE_MODEL_DIR"


def test_a_model_that_memory_cannot_import_says_how_much_it_takes(monkeypatch):
    monkeypatch.setattr("ablate.cli.models_command._machine_bytes", lambda: 2e9)
    found = stand("opt-1.3b")
    # 8 bytes for each of 1,315,115,008 matrix weights.
    assert (found.word, "11 GB of memory, and this machine has 2.0 GB" in found.reason) == (
        "no",
        True,
    )
    assert stand("opt-125m").word == "download"


def test_a_gated_model_says_what_its_download_asks_for(monkeypatch):
    monkeypatch.setattr("ablate.cli.models_command._machine_bytes", lambda: None)
    assert "accept its terms" in stand("llama-2-7b").reason


def test_the_example_is_rendered_with_the_tokenizer_s_tokens():
    assert rendered(MODELS["zephyr-7b-beta"]) == (
        f"<s><|user|>\n{EXAMPLE[0]['content']}</s>\n<|assistant|>\nFour.</s>\n"
        "<|user|>\nAnd one more?</s>\n<|assistant|>\n"
    )


def test_the_list_loads_nothing_heavy(tmp_path):
    code = (
        "from ablate.cli.main import main\nimport sys\nassert main(['models']) == 0\n"
        f"sys.stderr.write(' '.join(n for n in {HEAVY!r} if n in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert (done.returncode, done.stderr) == (0, "")


def table_rows() -> list[str]:
    """Return the rows of the page's table as the registry has them."""
    rows = []
    for name, entry in MODELS.items():
        if (hub := entry.hub) is None:
            continue
        cells = [
            f"`{name}`",
            hub.id,
            f"`{hub.revision[:12]}`" if hub.revision else "none known",
            f"{hub.license}{', gated' if hub.gated else ''}",
            f"{hub.parameters:,}",
            f"{weight_bytes(entry.shape, 'bf16') / 1e9:.1f}",
            entry.template,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def test_the_page_s_table_is_the_registry_s():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("| `")] == table_rows()
