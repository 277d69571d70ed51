"""Whatever a file holds, the author gets a message and never a traceback."""

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ablate.errors import StudyError, SurroundingsError
from ablate.plan.cells import expand
from ablate.spec.fields import field_paths
from ablate.spec.load import study_from_text
from ablate.spec.study import Study

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))
WORDS = [*Study.model_fields, *field_paths(), "from", "status", "tune", "ai-fine", "dpo", "ppo"]
WORDS += ["sft", "base", "policy", "reward_model", "ppo", "tiny-instruct", "lora", "small"]

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=4)
    ),
    max_leaves=20,
)
quick = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def attempt(content: bytes | str, *sets: str) -> None:
    try:
        expand(study_from_text(content, sets))
    except (StudyError, SurroundingsError) as error:
        assert str(error).strip()


@quick
@given(st.binary())
@example(b"\x00")
@example(b"\xff\xfes\x00")
@example(b"a: " + b"9" * 5000)
@example(b"%TAG ! !x\n---\na: 1")
@example(b"? a\n? b\n")
@example(b"a: &x\nb: *x\nc: *y")
def test_arbitrary_bytes_give_a_message(content):
    attempt(content)


@quick
@given(st.text(alphabet="abc:-[]{}&*!|>'\"#%@`,?~\n\t \x85\u2028<=.0123"))
def test_arbitrary_punctuation_gives_a_message(text):
    attempt(text)


@quick
@given(st.dictionaries(st.sampled_from(list(Study.model_fields)), values, max_size=6))
def test_arbitrary_values_of_known_keys_give_a_message(data):
    attempt(yaml.safe_dump({"study": "s", **data}, allow_unicode=True))


@quick
@given(st.dictionaries(st.sampled_from(sorted(field_paths())), values, max_size=4))
def test_arbitrary_values_of_fields_give_a_message(base):
    data = {
        "study": "s",
        "base": {"model": "tiny-instruct", **base},
        "grid": {"dataset": ["ai-fine"], "algorithm": ["dpo", "ppo"], "prompts": [base]},
    }
    attempt(yaml.safe_dump(data, allow_unicode=True))


@quick
@given(st.sampled_from(WORDS), st.sampled_from(WORDS), st.text())
def test_arbitrary_options_give_a_message(first, second, value):
    text = STUDIES[0].read_text(encoding="utf-8")
    attempt(text, f"{first}.{second}={value}", f"{second}={value}")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_with_a_few_bytes_changed_gives_a_message(path):
    content = path.read_bytes()
    draw = random.Random(path.stem)
    for _ in range(150):
        changed = bytearray(content)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(changed))] = draw.choice(b"abc:-[]{}&*!'\"\n\t ,.0#")
        attempt(bytes(changed))
