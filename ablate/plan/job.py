"""One node of a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ablate.plan.fingerprint import fingerprint
from ablate.spec.config import Config


@dataclass(frozen=True, eq=False)
class Job:
    """A stage, its configuration, and the jobs it reads from, by role.

    Jobs with equal fingerprints are the same job; runs share them.
    """

    stage: str
    config: Config
    inputs: tuple[tuple[str, Job], ...] = ()
    fingerprint: str = field(init=False)
    """Identity of what is computed; see `ablate.plan.fingerprint`."""
    model: Job | None = field(init=False)
    """The base model behind the job, itself where it is one; None for a job that uses no model."""

    def __post_init__(self) -> None:
        """Compute the fingerprint once."""
        upstream = {role: job.fingerprint for role, job in self.inputs}
        object.__setattr__(self, "fingerprint", fingerprint(self.stage, self.config, upstream))
        models = (job.model for _, job in self.inputs if job.model is not None)
        object.__setattr__(self, "model", self if self.stage == "model" else next(models, None))

    def __hash__(self) -> int:
        """Hash by identity of what is computed."""
        return hash(self.fingerprint)

    def __eq__(self, other: object) -> bool:
        """Compare by identity of what is computed."""
        return isinstance(other, Job) and other.fingerprint == self.fingerprint


def with_upstream(jobs: Iterable[Job]) -> Iterator[Job]:
    """Yield ``jobs`` and everything they read from, inputs first, each fingerprint once."""
    seen: set[str] = set()
    for job in jobs:
        yield from _upstream_first(job, seen)


def _upstream_first(job: Job, seen: set[str]) -> Iterator[Job]:
    if job.fingerprint in seen:
        return
    for _, upstream in job.inputs:
        yield from _upstream_first(upstream, seen)
    if job.fingerprint not in seen:
        seen.add(job.fingerprint)
        yield job
