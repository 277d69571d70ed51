"""Which running study, and which of its jobs, a user means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ablate.cli.stored import Recorded, recorded, study_name
from ablate.errors import StudyError, nearest
from ablate.execution.status import study_names, study_status
from ablate.store.layout import Store

OVER = ("ended", "interrupted")
"""States of a study that no controller runs."""


def living_study(store: Store, given: str | None) -> str:
    """Return the study that is named, or the only one that runs, or the only one there is."""
    if given is None:
        living = [
            name for name in study_names(store) if study_status(store, name).state not in OVER
        ]
        if len(living) == 1:
            return living[0]
    return study_name(store, given)


@dataclass(frozen=True)
class Meant:
    """Jobs that a user named by cells."""

    jobs: tuple[str, ...]
    """Fingerprints, in the plan's order."""
    shared: Mapping[str, tuple[str, ...]]
    """Of jobs that the named cells need too, but others as well: those other cells."""


class Jobs:
    """The jobs of a stored study, by the names that people use."""

    def __init__(self, study: str, plan: Recorded) -> None:
        """Take the runs and jobs of the study's last run."""
        self._study, self._plan = study, plan
        self.stages = {job.fingerprint: job.stage for job in plan.jobs}
        self._inputs = {job.fingerprint: tuple(job.inputs.values()) for job in plan.jobs}
        self._roles: dict[str, dict[str, set[str]]] = {}
        self._trials: dict[str, dict[str, None]] = {}
        for run in plan.runs:
            if run.arm is not None:
                self._trials.setdefault(run.arm, {})[run.cell] = None
            for role, fingerprint in run.jobs.items():
                roles = self._roles.setdefault(run.cell, {})
                roles.setdefault(role, set()).add(fingerprint)
        self.cells: dict[str, set[str]] = {
            cell: self._upstream(set().union(*roles.values()))
            for cell, roles in self._roles.items()
        }
        """Everything that a cell's runs need."""

    def name(self, fingerprint: str) -> str:
        """Return ``<stage>-<fingerprint>``."""
        return f"{self.stages.get(fingerprint, 'job')}-{fingerprint}"

    def users(self, fingerprint: str) -> tuple[str, ...]:
        """Return the cells that need a job."""
        return tuple(cell for cell, needed in self.cells.items() if fingerprint in needed)

    def meant(self, words: Iterable[str], *, with_shared: bool = False) -> Meant:
        """Return the jobs meant by cells, ``CELL/STAGE`` and fingerprints.

        A cell stands for the jobs that only the named cells need, with ``with_shared`` for all
        that it needs, its trials' jobs among them. Who names a fingerprint means that very job.
        Raises StudyError for a name that is none.
        """
        wanted = [name for word in words for name in self._with_trials(word)]
        cells = {self._cell(word) for word in wanted} - {None}
        others = {cell: needed for cell, needed in self.cells.items() if cell not in cells}
        found: set[str] = set()
        shared: dict[str, tuple[str, ...]] = {}
        for word in wanted:
            named = self._named(word)
            if self._cell(word) is None or with_shared:
                found |= named
                continue
            for job in named:
                users = tuple(cell for cell, needed in others.items() if job in needed)
                if users:
                    shared[job] = users
                else:
                    found.add(job)
        order = [job.fingerprint for job in self._plan.jobs]
        return Meant(
            tuple(job for job in order if job in found),
            {job: shared[job] for job in order if job in shared and job not in found},
        )

    def _with_trials(self, word: str) -> list[str]:
        """Return a word and the trials of the cell that it names, alone while nothing is chosen."""
        trials = self._trials.get(word, {})
        return [*([word] if word in self.cells or not trials else []), *trials]

    def _cell(self, word: str) -> str | None:
        """Return the cell that a word names with or without a stage; None for another name."""
        fitting = [cell for cell in self.cells if word == cell or word.startswith(f"{cell}/")]
        return max(fitting, key=len, default=None)

    def _named(self, word: str) -> set[str]:
        cell = self._cell(word)
        if cell == word:
            return self.cells[cell]
        if cell is not None:
            roles, role = self._roles[cell], word[len(cell) + 1 :]
            if role in roles:
                return roles[role]
            known = ", ".join(sorted(roles))
            raise StudyError(
                f"{word!r}: cell {cell!r} has the stages {known}.{nearest(role, roles)}"
            )
        found = {
            job for job in self.stages if job.startswith(word) or self.name(job).startswith(word)
        }
        exact = {job for job in found if word in (job, self.name(job))}
        if word and len(exact or found) == 1:
            return exact or found
        if word and found:
            raise StudyError(
                f"{word!r}: {len(found)} jobs start so. Write more of the fingerprint."
            )
        known = ", ".join(map(repr, self.cells)) or "none"
        raise StudyError(
            f"{word!r} is no cell or job of study {self._study}; cells: {known}.{self._like(word)}"
        )

    def _like(self, word: str) -> str:
        """Return a hint: the cells that hold the word, or the nearest name."""
        holding = [repr(cell) for cell in self.cells if word and word in cell]
        if holding:
            return f" Did you mean {' or '.join(holding[:3])}?"
        return nearest(word, self.cells)

    def _upstream(self, jobs: set[str]) -> set[str]:
        found, pending = set(jobs), list(jobs)
        while pending:
            new = set(self._inputs.get(pending.pop(), ())) - found
            found |= new
            pending += new
        return found


def jobs_of(store: Store, study: str) -> Jobs:
    """Return the jobs of a stored study by name."""
    return Jobs(study, recorded(store, study))
