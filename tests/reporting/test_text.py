import math

from ablate.reporting import text


def test_what_rounds_to_zero_has_no_minus() -> None:
    assert text.plain(-0.004, "nats") == "0.00" and text.signed(-0.04) == "+0.0"
    assert text.plain(-0.006, "nats") == "−0.01" and text.signed(-0.06) == "−0.1"


def test_an_undefined_number_is_a_dash() -> None:
    assert text.plain(math.nan) == text.signed(math.nan) == "–"
