"""What a place file may say of a Ray cluster."""

import pytest

from ablate.errors import StudyError
from ablate.execution.engines.places import RayPlace, place_from_text


def test_a_place_names_the_cluster_and_how_its_accelerators_are_shared() -> None:
    text = b"""
engine: ray
address: 10.0.0.1:6379
slots_per_device: 2
device_gb: 80
environment: {HF_HOME: /shared/models}
"""
    place = place_from_text(text, name="place.yaml")
    assert isinstance(place, RayPlace)
    assert (place.address, place.device_gb, place.slots) == ("10.0.0.1:6379", 80, None)
    assert place.environment == {"HF_HOME": "/shared/models"}


@pytest.mark.parametrize("address", ["local", "ray://10.0.0.1:10001"])
def test_a_cluster_that_would_end_with_the_controller_is_refused(address: str) -> None:
    with pytest.raises(StudyError) as refusal:
        place_from_text(f"engine: ray\naddress: {address}\n".encode(), name="place.yaml")
    first, _, _ = str(refusal.value).partition("\n")
    assert first == (
        f"place.yaml:2:1: address: {address!r} is not a cluster's address; auto and HOST:PORT "
        "are. See docs/engines.md."
    )
