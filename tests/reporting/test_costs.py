"""What a run spent, as its manifests say it."""

from ablate.reporting.costs import seconds_of
from ablate.store.manifest import Manifest


def manifest(wall_seconds: float, **timings: float) -> Manifest:
    return Manifest(
        fingerprint="f" * 16, stage="policy", config_class="PpoConfig", config={}, inputs={},
        files={}, attempt=2, engine="local", study="s", code="c0de" * 16, started=0.0, ended=1.0,
        wall_seconds=wall_seconds, numerics={}, timings=timings, counts={},
    )  # fmt: skip


def test_a_resumed_job_cost_what_its_attempts_before_the_checkpoint_did_too():
    """Of 90 seconds of training the last attempt, of 35 seconds, did 30."""
    assert seconds_of(manifest(35.0, rollout=50.0, update=40.0)) == 90.0
    # Undisturbed, the wall time has loading and writing besides.
    assert seconds_of(manifest(100.0, rollout=50.0, update=40.0)) == 100.0
    # A command's own activities are within the time that the command took.
    assert seconds_of(manifest(32.0, command=30.0, command_training=25.0)) == 32.0
