import subprocess
import sys

HEAVY = ("torch", "transformers", "numpy", "pandas", "scipy", "mlflow", "lm_eval", "datasets")


def test_loading_and_expanding_a_study_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from ablate.spec.load import study_from_text\n"
        "from ablate.spec.schema import study_schema\n"
        "from ablate.plan.cells import expand\n"
        "text = 'study: s\\nbase: {model: tiny-instruct}\\n'\n"
        "text += 'grid: {dataset: [ai-fine], algorithm: [dpo, ppo]}\\n'\n"
        "assert len(expand(study_from_text(text))) == 2\n"
        "study_schema()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
