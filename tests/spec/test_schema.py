from pathlib import Path

import jsonschema
import pytest

from ablate.spec.schema import study_schema
from ablate.spec.yaml_source import parse

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator():
    schema = study_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_our_own_studies_fit_the_schema(validator, path):
    validator.validate(parse(path.read_text(encoding="utf-8"))[0].data())


@pytest.mark.parametrize(
    "base",
    [
        {"policy": {"bta": 0.1}},
        {"policy.bta": 0.1},
        {"policy": {"beta": -1}},
        {"policy": {"seed": 1}},
        {"algorithm": "gpro"},
        {"reward_model": {"size": 3}},
    ],
)
def test_an_editor_flags_what_the_loader_refuses(validator, base):
    study = {"study": "s", "base": base, "grid": {"algorithm": ["dpo"]}}
    assert not validator.is_valid(study)


def test_fields_carry_their_description():
    fields = study_schema()["$defs"]["Overrides"]["properties"]["policy"]["properties"]
    assert "implicit KL to the reference" in fields["beta"]["description"]


@pytest.mark.parametrize(
    "tune",
    [
        {"search": {"policy.beta": [0.1, 0.3]}},
        {"trials": 0, "search": {"policy.beta": [0.1, 0.3]}},
        {"trials": 2, "search": {"policy.beta": [0.1]}},
        {"trials": 2, "search": {"policy.beta": {"low": 1}}},
        {"trials": 2, "search": {"policy.beta": {"low": 1, "high": 2, "steps": 3}}},
        {"trials": 2, "sampler": "grid", "search": {"policy.beta": [0.1, 0.3]}},
    ],
)
def test_an_editor_flags_a_wrong_tuning(validator, tune):
    study = {"study": "s", "base": {}, "grid": {"algorithm": ["dpo"]}}
    good = {"trials": 2, "search": {"policy.beta": {"low": 0.1, "high": 1, "log": True}}}
    assert validator.is_valid({**study, "tune": good})
    assert not validator.is_valid({**study, "tune": tune})
