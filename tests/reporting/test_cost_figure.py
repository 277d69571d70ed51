"""Quality against cost: every algorithm is drawn, and an axis of seconds reads as seconds."""

from __future__ import annotations

from ablate.reporting.figures.costs import CostTrace, draw_costs
from ablate.reporting.figures.style import look


def _traces(count: int) -> list[CostTrace]:
    ends = [(0.1 * (index + 1), float(index)) for index in range(count)]
    return [CostTrace(f"arm{n:02}", {}, {"seconds": end}) for n, end in enumerate(ends)]


def test_all_22_algorithms_are_drawn_and_what_is_left_out_is_said() -> None:
    """The figure held the first ten arms and did not say so: a study of 22 lost all online ones."""
    drawing = draw_costs(_traces(22), {"seconds": "seconds"}, quality="Gold reward")
    assert drawing is not None
    assert all(f"arm{n:02}" in drawing.svg.decode() for n in range(22))
    assert "are drawn" not in drawing.caption
    more = draw_costs(_traces(25), {"seconds": "seconds"}, quality="Gold reward")
    assert more is not None
    assert more.caption.endswith("The first 24 of 25 arms are drawn.")


def test_arms_of_a_crowded_figure_have_their_own_marks() -> None:
    assert len({(look(n).line, look(n).marker) for n in range(50)}) == 50


def test_tenths_of_a_second_do_not_read_as_minutes() -> None:
    """Ends from 0.1 to 0.5 s; the ticks were 100m to 500m."""
    drawing = draw_costs(_traces(5), {"seconds": "seconds"}, quality="Gold reward")
    assert drawing is not None
    assert ">0.2<" in drawing.svg.decode()
    assert "00m<" not in drawing.svg.decode()
