"""Proxy and gold reward against the distance travelled."""

from __future__ import annotations

from ablate.reporting.findings import Findings
from ablate.reporting.over_optimization import reward_kl, reward_kl_table
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return proxy and gold reward against the distance travelled."""
    drawn, shown = given(reward_kl(found)), given(reward_kl_table(found))
    return Section("over-optimization", "Over-optimization", (_TEXT,), drawn, shown)


_TEXT = (
    "The proxy is the reward model's score that an online method maximizes; gold is the world's"
    " true reward. Where the proxy rises and gold falls, the policy exploits the reward model."
)
