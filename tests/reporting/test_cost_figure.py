"""Quality against cost: every algorithm is drawn, and an axis of seconds reads as seconds."""

from __future__ import annotations

from ablate.reporting.figures.pareto import Panel, Spot, Standing, Texts, draw_pareto
from ablate.reporting.figures.save import Drawing
from ablate.reporting.figures.style import look
from ablate.stats.estimate import Estimate

NAN = float("nan")


def _drawn(count: int) -> Drawing:
    spots = []
    for index in range(count):
        x, y = (Estimate(value, NAN, NAN) for value in (0.1 * (index + 1), float(index)))
        name = f"arm{index:02}"
        spots.append(Spot(name, name, name, x, y, Standing.FRONTIER))
    panels = [Panel("seconds", tuple(spots))]
    drawing = draw_pareto(panels, "costs", texts=Texts("Quality", "Gold reward", "Marks."))
    assert drawing is not None
    return drawing


def test_all_22_algorithms_are_drawn_and_what_is_left_out_is_said() -> None:
    """The figure held the first ten arms and did not say so: a study of 22 lost all online ones."""
    drawing = _drawn(22)
    assert all(f"arm{n:02}" in drawing.svg.decode() for n in range(22))
    assert "The legend names" not in drawing.caption
    assert _drawn(25).caption.endswith("The legend names the first 24 of 25.")


def test_arms_of_a_crowded_figure_have_their_own_marks() -> None:
    assert len({(look(n).line, look(n).marker) for n in range(50)}) == 50


def test_tenths_of_a_second_do_not_read_as_minutes() -> None:
    """Ends from 0.1 to 0.5 s; the ticks were 100m to 500m."""
    svg = _drawn(5).svg.decode()
    assert ">0.2<" in svg and "00m<" not in svg
