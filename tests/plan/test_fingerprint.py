"""The identity of a job: what bears it, what does not, and what is refused."""

import math
import subprocess
import sys

import pytest

from ablate.plan.fingerprint import STAGE_VERSIONS, canonical, fingerprint, identity_of
from ablate.plan.job import Job, with_upstream
from ablate.spec.config import Config, added_later
from ablate.spec.stages import (
    DpoConfig,
    EmbeddedModelConfig,
    ImportedModelConfig,
    PpoConfig,
    PreferencesConfig,
    SftConfig,
)


class Before(Config):
    rate: float = 1e-3


class After(Config):
    rate: float = 1e-3
    shape: str = added_later("cosine", neutral="linear")


def fields(config: Config) -> object:
    return identity_of(config)


def test_where_a_job_runs_does_not_change_its_fingerprint():
    here, there = (
        ImportedModelConfig(format="hf", content="abc", location=place) for place in ("/a", "/b")
    )
    assert fingerprint("model", here, {}) == fingerprint("model", there, {})


def test_batch_splitting_and_checkpoint_interval_do_not_change_the_fingerprint():
    whole = DpoConfig()
    split = DpoConfig(micro_batch_size=4, checkpoint_every_steps=7)
    assert fingerprint("policy", whole, {}) == fingerprint("policy", split, {})


def test_every_other_field_changes_the_fingerprint():
    base = fingerprint("policy", DpoConfig(), {})
    assert fingerprint("policy", DpoConfig(beta=0.2), {}) != base
    assert fingerprint("policy", DpoConfig(seed=1), {}) != base


def test_two_classes_with_equal_fields_differ():
    class One(Config):
        rate: float = 1.0

    class Two(Config):
        rate: float = 1.0

    assert fields(One()) == fields(Two())
    assert fingerprint("sft", One(), {}) != fingerprint("sft", Two(), {})


def test_a_value_pinned_at_the_default_is_the_default():
    assert fingerprint("policy", PpoConfig(gamma=1.0), {}) == fingerprint("policy", PpoConfig(), {})


def test_a_field_added_later_is_left_out_exactly_at_its_neutral_value():
    assert fields(After(shape="linear")) == fields(Before())
    assert "shape" in fields(After())


def test_an_input_changes_every_downstream_fingerprint():
    first, second = (Job("model", EmbeddedModelConfig(seed=seed)) for seed in (0, 1))
    one, two = (Job("sft", SftConfig(), (("model", base),)) for base in (first, second))
    assert one.fingerprint != two.fingerprint


def test_integers_floats_and_booleans_have_different_texts():
    texts = [repr(canonical(value)) for value in (1, 1.0, True, "1")]
    assert len(set(texts)) == 4


def test_negative_zero_is_zero():
    assert canonical(-0.0) == canonical(0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, print, {1, 2}, object()])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(TypeError, match="canonical form"):
        canonical(value)


def test_fingerprints_of_known_jobs_are_pinned():
    # A new value here orphans every stored artifact. Change it on purpose, with a stage version.
    base = Job("model", EmbeddedModelConfig())
    pairs = Job("preferences", PreferencesConfig(dataset="ai-fine"))
    dpo = Job("policy", DpoConfig(), (("policy", base), ("preferences", pairs)))
    assert [job.fingerprint for job in (base, pairs, dpo)] == GOLDEN


def test_a_fingerprint_is_the_same_in_another_process_with_another_hash_seed():
    code = (
        "from ablate.plan.job import Job; from ablate.spec.stages import EmbeddedModelConfig;"
        "print(Job('model', EmbeddedModelConfig()).fingerprint)"
    )
    for seed in ("1", "2"):
        env = {"PYTHONHASHSEED": seed, "PATH": ""}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        assert done.stdout.strip() == GOLDEN[0]


def test_upstream_jobs_come_first_and_once():
    base = Job("model", EmbeddedModelConfig())
    sft = Job("sft", SftConfig(), (("model", base),))
    policy = Job("policy", DpoConfig(), (("policy", sft),))
    assert list(with_upstream([policy, sft, base])) == [base, sft, policy]


GOLDEN = ["caf8af581ca9a466", "8cc7869f2b0d5247", "6b127031d29a2939"]


def test_a_derived_input_counts_by_the_version_of_its_stage_alone(monkeypatch):
    config = PreferencesConfig(dataset="ai-fine")
    first, second = ({"tokens": tokens, "policy": "a"} for tokens in ("1", "2"))
    plain = fingerprint("preferences", config, {"policy": "a"})
    assert fingerprint("preferences", config, first) == plain
    assert fingerprint("preferences", config, second) == plain
    monkeypatch.setitem(STAGE_VERSIONS, "tokens", 2)
    assert fingerprint("preferences", config, first) != plain
    assert fingerprint("preferences", config, {"policy": "a"}) == plain
