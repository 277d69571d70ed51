"""Training curves and evaluation over epochs."""

from __future__ import annotations

from ablate.reporting.evaluation_figures import epochs
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given
from ablate.reporting.training_figures import offline_curves, online_curves


def training(found: Findings) -> Section:
    """Return the step metrics of online and offline algorithms."""
    drawn = given(online_curves(found), offline_curves(found))
    return Section("training", "Training", (), drawn)


def over_epochs(found: Findings) -> Section:
    """Return scores of checkpoints kept on the way."""
    return Section("epochs", "Evaluation over epochs", (), given(epochs(found)))
