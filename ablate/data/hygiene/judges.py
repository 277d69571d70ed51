"""Who labelled and who judges, for the plans and reports that compare them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ablate.data.hygiene.checks import labeller_check
from ablate.plan.data_notes import Judged


def judge_notes(found: Iterable[Judged]) -> Iterator[str]:
    """Yield a sentence for each judge that also labelled the data of what it judges.

    A judge prefers what it has preferred before, so its score says little then.
    """
    for one in found:
        names = (one.judge, *one.aliases)
        if any(labeller_check(one.labeller, name).status == "warn" for name in names):
            yield (
                f"{one.dataset} was labelled by {one.labeller}, and {one.judge} judges in "
                f"{', '.join(one.cells)}: the judge agrees with itself."
            )
