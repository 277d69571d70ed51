"""The engine of a place that is not this machine."""

from __future__ import annotations

from pathlib import Path

from ablate.execution.engines.places import LocalPlace, RayPlace, SlurmPlace
from ablate.execution.engines.protocol import Engine
from ablate.execution.engines.ray_engine import RayEngine, RayOptions
from ablate.execution.engines.slurm import SlurmEngine
from ablate.execution.engines.slurm_script import SlurmOptions
from ablate.store.files import surroundings
from ablate.store.privacy import private

RAY_LOG = "ray.log"
"""In a study's folder: what Ray itself says."""


def open_remote(
    place: LocalPlace, folder: Path, *, slots: int | None, network: bool
) -> Engine | None:
    """Return the engine of ``place``, None for this machine; the caller closes it.

    ``slots`` overrides the place's own, ``folder`` is the study's. Raises SurroundingsError where
    the cluster or the package for it is missing.
    """
    if isinstance(place, SlurmPlace):
        return SlurmEngine(_slurm(place, slots or place.slots, network))
    if isinstance(place, RayPlace):
        with surroundings(folder), private():
            folder.mkdir(parents=True, exist_ok=True)
        return RayEngine(
            RayOptions(
                address=place.address,
                slots=slots or place.slots,
                threads=place.threads,
                slots_per_device=place.slots_per_device,
                device_bytes=None if place.device_gb is None else 1e9 * place.device_gb,
                autoscaling=place.autoscaling,
                network=network,
                environment=place.environment,
                log=folder / RAY_LOG,
            )
        )
    return None


def _slurm(place: SlurmPlace, slots: int | None, network: bool) -> SlurmOptions:
    defaults = SlurmOptions()
    return SlurmOptions(
        slots=slots or defaults.slots,
        threads=place.threads,
        partition=place.partition,
        account=place.account,
        memory_gb=place.memory_gb,
        pack=place.pack,
        slots_per_device=place.slots_per_device,
        accelerators=place.accelerators,
        setup=place.setup,
        options=place.options,
        python=place.python or defaults.python,
        network=network,
    )
