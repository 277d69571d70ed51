"""What `match` gives each arm to spend."""

from __future__ import annotations

from ablate.spec.online import REWARD_MODEL, D2poConfig
from ablate.spec.policies import Budget, PolicyConfig
from ablate.spec.recipes import UnresolvedError
from ablate.spec.rules import check_spends


def first_share(config: PolicyConfig) -> float:
    """Return the share of a budget of preferences that is spent before the policy stage."""
    if isinstance(config, D2poConfig):
        return config.initial_fraction if config.reward_init == REWARD_MODEL else 0.0
    return 1.0


def budget_of(config: PolicyConfig, algorithm: str, match: Budget) -> Budget | None:
    """Return what a policy stage may spend itself; None where the data are cut instead.

    Raises UnresolvedError for an algorithm that does not spend what is matched, and for a D2PO of
    which one half would have nothing.
    """
    check_spends(config, algorithm, match.unit)
    if match.unit != "preferences":
        return match
    if not isinstance(config, D2poConfig):
        return None
    share = first_share(config)
    first = max(1, round(match.amount * share)) if share else 0
    if config.reward_init == REWARD_MODEL and not 0 < first < match.amount:
        found = f"{config.initial_fraction:g} of {match.amount:g} preferences leaves "
        found += "no label to buy" if first else "the first reward model without data"
        message = f"{found}. Choose a share in between, or set d2po.reward_init: sft."
        raise UnresolvedError("d2po.initial_fraction", message)
    return Budget(unit="preferences", amount=match.amount - first)
