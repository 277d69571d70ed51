"""What a study asks: expectation beside observation."""

from __future__ import annotations

from ablate.reporting.answers import questions
from ablate.reporting.findings import Findings
from ablate.reporting.section import Section, given


def section(found: Findings) -> Section:
    """Return the declared questions with what was expected and what came of each."""
    return Section("questions", "Questions", tables=given(questions(found)))
