"""The smoke study from YAML to report with one command: every stage, tracking included."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ablate

ROOT = Path(__file__).parents[1]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ABLATE_STORE"}
    command = [sys.executable, "-m", "ablate", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    (folder / "smoke.yaml").write_bytes((ROOT / "studies" / "smoke.yaml").read_bytes())
    done = run("run", "smoke.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "reports" / "smoke" / "results.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_command_leaves_a_page_a_text_a_table_and_figures(folder):
    report = folder / "reports" / "smoke"
    assert {"index.html", "report.md", "results.csv", "figures"} <= {
        p.name for p in report.iterdir()
    }
    figures = {path.name for path in (report / "figures").iterdir()}
    assert {"forest.svg", "forest.png", "training-online.svg", "training-offline.svg"} <= figures


def test_every_run_has_its_six_categories_and_their_average(folder):
    found = [row for row in rows(folder) if row["stage"] == "evaluation"]
    for cell in ("base", "sft", "ai-fine, dpo", "ai-fine, ppo"):
        scores = {row["metric"]: row for row in found if row["cell"] == cell}
        categories = [
            float(row["value"])
            for row in scores.values()
            if row["level"] == "category" and not row["metric"].startswith("greedy_")
        ]
        assert len(categories) == 6
        assert float(scores["average"]["value"]) == pytest.approx(sum(categories) / 6)


def test_the_report_says_what_every_arm_spent(folder):
    spent = {
        (row["cell"], row["metric"]): float(row["value"])
        for row in rows(folder)
        if row["level"] == "cost"
    }
    dpo, ppo = "ai-fine, dpo", "ai-fine, ppo"
    # Both learn from the same 64 pairs, DPO itself and PPO through its reward model.
    assert spent[dpo, "preferences"] == spent[ppo, "preferences"] == 64
    assert spent[dpo, "generated_tokens"] == spent[dpo, "reward_calls"] == 0
    # Two steps of 16 rollouts, and 16 samples that set the scale of the reward.
    assert spent[ppo, "reward_calls"] == 2 * 16 + 16
    assert spent[ppo, "generated_tokens"] > 0
    page = (folder / "reports" / "smoke" / "report.md").read_text(encoding="utf-8")
    assert "What it cost" in page
    assert (folder / "reports" / "smoke" / "figures" / "costs.svg").exists()


def test_the_same_command_again_finds_everything_cached(folder):
    done = run("run", "smoke.yaml", "--json", "--no-report", cwd=folder)
    document = json.loads(done.stdout)
    assert done.returncode == 0 and document["complete"]
    assert (document["jobs"]["done"], document["jobs"]["cached"]) == (0, 15)


def test_status_timings_name_rollout_scoring_and_update(folder):
    document = json.loads(run("status", "smoke", "--timings", "--json", cwd=folder).stdout)[0]
    policy = next(row for row in document["timings"] if row["stage"] == "policy")
    assert document["runs"] == {"done": 4, "total": 4}
    assert min(policy[f"{name}_seconds"] for name in ("rollout", "scoring", "update")) > 0


def test_logs_of_a_cell_are_those_of_its_policy(folder):
    done = run("logs", "ai-fine, ppo", cwd=folder)
    assert done.returncode == 0
    assert done.stdout.startswith("== policy-") and "attempt 1: ok" in done.stdout


def test_an_unknown_cell_in_logs_is_named_with_the_nearest(folder):
    done = run("logs", "ai-fine, pp", cwd=folder)
    assert done.returncode == 2
    assert "Did you mean 'ai-fine, ppo'?" in done.stderr


def test_every_run_is_in_mlflow(folder):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/.ablate/mlflow.db")
    experiment = client.get_experiment_by_name("smoke")
    names = {
        run.data.tags.get("ablate.cell")
        for run in client.search_runs([experiment.experiment_id], max_results=500)
    }
    assert {"base", "sft", "ai-fine, dpo", "ai-fine, ppo"} <= names


def test_the_python_api_opens_the_same_results(folder):
    loaded = ablate.load_study(folder / "smoke.yaml")
    plan = ablate.plan_study(loaded)
    record = ablate.study_record(loaded, plan, ablate.Store(folder / ".ablate"))
    frame = ablate.load_results(record)
    assert len(frame) == len(rows(folder))
    assert set(ablate.effects_frame(record)["control"]) == {"sft", "ai-fine, dpo"}
    assert ablate.make_figure("forest", record).svg.startswith(b"<?xml")


def test_the_notebook_runs_on_the_same_results(folder, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("ABLATE_STUDY", str(folder / "smoke.yaml"))
    monkeypatch.setenv("ABLATE_STORE", str(folder / ".ablate"))
    notebook = nbformat.read(ROOT / "notebooks" / "results.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert "4 of 4 runs complete, 4 cells" in str(notebook.cells[1].outputs)


def test_adding_a_level_runs_only_its_own_jobs(folder):
    text = (folder / "smoke.yaml").read_text().replace("[ai-fine]", "[ai-fine, web-narrow]")
    (folder / "wider.yaml").write_text(text.replace("[dpo, ppo]", "[dpo]"))
    done = run("run", "wider.yaml", "--json", "--no-report", "--no-tracking", cwd=folder)
    # New: web-narrow's pairs and their tokens, the reference, the policy and its evaluation.
    assert json.loads(done.stdout)["jobs"]["done"] == 5
