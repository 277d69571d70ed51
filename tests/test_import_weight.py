"""What is imported where a user waits: the command's help, and planning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = ("pydantic", "numpy", "pandas", "torch", "mlflow")
"""What `import ablate` and ``ablate --help`` do without."""
HEAVY = ("torch", "mlflow", "pandas", "pyarrow", "scipy.stats", "transformers", "lm_eval")
"""What a plan does without."""
READING = ("torch", "mlflow", "transformers", "lm_eval", "datasets")
"""What reading results does without: a notebook's first line should not wait for them."""
STUDY = """\
study: weight
base: {model: tiny-instruct, dataset: ai-fine}
baseline: sft
rows: [sft]
seeds: 2
grid: {algorithm: [dpo, ppo]}
"""
HELP = """
from ablate.cli.main import main
try:
    main(["--help"])
except SystemExit as stop:
    assert stop.code == 0
"""
PLANNING = """
import importlib, pathlib, pkgutil
import ablate.plan
for module in pkgutil.iter_modules(ablate.plan.__path__):
    importlib.import_module(f"ablate.plan.{module.name}")
from ablate.spec.load import load_study
assert load_study(pathlib.Path("study.yaml")).study.study == "weight"
"""
PLAN_COMMAND = """
from ablate.cli.main import main
assert main(["plan", "study.yaml"]) == 0
"""


def loaded_by(code: str, names: tuple[str, ...], folder: Path) -> list[str]:
    """Run code in a fresh interpreter; return which of the modules it loaded."""
    tail = f"\nimport sys\nsys.stderr.write(' '.join(n for n in {names!r} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


def test_the_measurement_sees_a_module_that_is_loaded(tmp_path: Path) -> None:
    assert loaded_by("import pydantic, json", ("json", "pydantic"), tmp_path) == [
        "json",
        "pydantic",
    ]


@pytest.mark.parametrize("code", ["import ablate", HELP], ids=["import ablate", "ablate --help"])
def test_help_loads_nothing_heavy(code: str, tmp_path: Path) -> None:
    assert loaded_by(code, LIGHT, tmp_path) == []


def test_results_are_read_without_what_trains_and_evaluates(tmp_path: Path) -> None:
    code = "import ablate\nablate.open_study, ablate.TABLES, ablate.FIGURES"
    assert loaded_by(code, READING, tmp_path) == []


@pytest.mark.parametrize("code", [PLANNING, PLAN_COMMAND], ids=["modules", "ablate plan"])
def test_a_plan_loads_nothing_heavy(code: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    assert loaded_by(code, HEAVY, tmp_path) == []
