"""Numbers and names as a reader sees them; rounding happens here and nowhere before."""

from __future__ import annotations

import math

from ablate.reporting.artifacts import MetricRow
from ablate.stats.estimate import Estimate

DASH = "–"
MINUS = "\N{MINUS SIGN}"
_DIGITS = {
    "percent": 1,
    "reward": 3,
    "nats": 2,
    "tokens": 1,
    "fraction": 3,
    "correlation": 2,
    "count": 0,
    "characters": 0,
}
_LABELS = {
    "instruction_following": "Inst. following",
    "average": "Average",
    "average_without_contaminated": "Average without contaminated tasks",
    "gold": "Gold reward",
    "kl_per_sequence_nats": "KL to SFT",
    "kl_per_token_nats": "KL to SFT per token",
    "length_tokens": "Length",
    "ended_fraction": "Ended",
}
_BENCHMARKS = (
    *("GSM8K", "MMLU", "BBH", "ARC", "ToxiGen", "XSTest", "IFEval", "TruthfulQA", "HumanEval"),
    *("MBPP", "AlpacaEval", "MT-Bench", "TyDiQA", "Do-Not-Answer", "ARC-Challenge", "ARC-Easy"),
    *("HellaSwag", "WinoGrande", "AlpacaEval 1", "AlpacaEval 2 LC"),
)
_PLAIN = str.maketrans("", "", "-_ ")
_NAMED = {name.lower().translate(_PLAIN): name for name in _BENCHMARKS}
"""How benchmarks write themselves, by their letters alone."""
_UNITS = {
    "percent": "%",
    "reward": "reward",
    "nats": "nats",
    "tokens": "tokens",
    "fraction": "share",
    "dollars": "$",
    "count": "",
}


def label(metric: str) -> str:
    """Return a metric's name for people."""
    if metric.startswith("greedy_"):
        return f"{label(metric.removeprefix('greedy_'))} (greedy)"
    if (known := _NAMED.get(metric.lower().translate(_PLAIN))) is not None:
        return known
    plain_name = metric.replace("_", " ").capitalize()
    return _LABELS.get(metric, plain_name.replace("Rewardbench", "RewardBench"))


def heading(row: MetricRow) -> str:
    """Return a column title: name and unit."""
    unit = unit_name(row.unit)
    return f"{label(row.metric)} ({unit})" if unit else label(row.metric)


def unit_name(unit: str) -> str:
    """Return a unit for people."""
    return _UNITS.get(unit, unit)


def digits(unit: str) -> int:
    """Return decimals for a unit."""
    return _DIGITS.get(unit, 2)


def plain(value: float, unit: str = "percent") -> str:
    """Return a value with a true minus sign; a dash where undefined."""
    if math.isnan(value):
        return DASH
    return f"{_rounded(value, unit):.{digits(unit)}f}".replace("-", MINUS)


def signed(value: float, unit: str = "percent") -> str:
    """Return a difference with its sign; a dash where undefined."""
    if math.isnan(value):
        return DASH
    return f"{_rounded(value, unit):+.{digits(unit)}f}".replace("-", MINUS)


def _rounded(value: float, unit: str) -> float:
    """Round, and take the sign off what becomes 0."""
    return round(value, digits(unit)) + 0.0


def interval(estimate: Estimate, unit: str = "percent") -> str:
    """Return ``[low, high]`` with signs, ``[n/a]`` where no interval is defined."""
    if not estimate.defined:
        return "[n/a]"
    return f"[{signed(estimate.low, unit)}, {signed(estimate.high, unit)}]"


def effect(estimate: Estimate, unit: str = "percent") -> str:
    """Return ``+0.1 [-0.2, +0.4]``."""
    return f"{signed(estimate.value, unit)} {interval(estimate, unit)}"


def difference(estimate: Estimate, unit: str) -> str:
    """Return an effect in running text: percentages differ by points."""
    return f"{effect(estimate, unit)} {'points' if unit == 'percent' else f'({unit})'}"


def amount(value: float, unit: str) -> str:
    """Return a size in running text with its unit; points of a percentage, as many as given."""
    if unit == "percent":
        return f"{plain(value)} points"
    return f"{plain(value, unit)} {unit_name(unit)}".rstrip()


def share(fraction: float) -> str:
    """Return a fraction as whole percent; a dash where undefined."""
    return DASH if math.isnan(fraction) else f"{100 * fraction:.0f} %"


def p_text(value: float) -> str:
    """Return a p-value with three decimals, never 0."""
    if math.isnan(value):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def correction_name(correction: str) -> str:
    """Return a correction's name for people."""
    names = {"holm": "Holm", "bh": "Benjamini-Hochberg", "max-t": "max-t"}
    return names.get(correction, "no correction")


def half_width(estimate: Estimate, unit: str = "percent") -> str:
    """Return ``± 1.2``, or nothing without an interval."""
    if not estimate.defined:
        return ""
    return f"± {plain((estimate.high - estimate.low) / 2, unit)}"
