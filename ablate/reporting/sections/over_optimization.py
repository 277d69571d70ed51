"""Proxy and gold reward against the distance travelled."""

from __future__ import annotations

from ablate.reporting import study_figures
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return proxy and gold reward against the distance travelled."""
    drawn = given(study_figures.overoptimization(found))
    return Section("over-optimization", "Over-optimization", (_TEXT,), drawn)


_TEXT = (
    "The proxy is the reward model's score that PPO maximizes; gold is the world's true reward."
    " Where the proxy rises and gold falls, the policy exploits the reward model."
)
