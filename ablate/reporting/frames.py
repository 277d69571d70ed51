"""Results as pandas frames, tables and figures by name: the reporting part of the Python API."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pandas as pd

from ablate.reporting.evidence import Evidence
from ablate.reporting.factor_frames import Rows, factors_of
from ablate.reporting.figures.save import Drawing
from ablate.reporting.findings import Findings, analyse
from ablate.reporting.opened import opened_store, record_of
from ablate.reporting.records import StudyRecord
from ablate.reporting.results import effects_of, results_frame
from ablate.reporting.study_figures import FIGURES
from ablate.reporting.study_figures import make_figure as _drawn
from ablate.reporting.study_figures import make_frames as _frames
from ablate.reporting.study_tables import Form, frame_of, makers_of, table_of
from ablate.store.layout import Store


class StudyResults:
    """What is known of one study; everything is computed once, when it is first asked for."""

    def __init__(self, study: StudyRecord | Findings) -> None:
        """Compute nothing yet."""
        self._found = study if isinstance(study, Findings) else None
        self.record: StudyRecord = study.study if isinstance(study, Findings) else study

    def __repr__(self) -> str:
        """Return name and state, as a notebook shows it."""
        done = sum(run.missing is None for run in self.record.runs)
        return (
            f"<study {self.record.name}: {done} of {len(self.record.runs)} runs complete, "
            f"{len(self.record.cells)} cells>"
        )

    @cached_property
    def findings(self) -> Findings:
        """Every effect, and what it was computed from."""
        return self._found if self._found is not None else analyse(self.record)

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row per run, stage and metric: see `ablate.reporting.results.results_frame`."""
        # Scores alone do not wait for the effects, unless those are there already.
        known = self._found or self.__dict__.get("findings")
        return results_frame(known.evidence if known is not None else Evidence(self.record))

    @cached_property
    def effects(self) -> pd.DataFrame:
        """One row per contrast and metric: see `ablate.reporting.results.effects_of`."""
        return effects_of(self.findings)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that such a study may have, in the order of the page."""
        return tuple(makers_of(self.findings))

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that a study may have, in the order of the page."""
        return tuple(FIGURES)

    def table(self, name: str, form: Form = "values") -> pd.DataFrame | None:
        """Return a table of the report as a frame, or None where the study does not have it.

        ``form`` is that of `ablate.reporting.study_tables.frame_of`. Raises ValueError for an
        unknown name.
        """
        made = table_of(self.findings, name)
        return None if made is None else frame_of(made, form)

    def figure(self, name: str, style: str = "screen") -> Drawing | None:
        """Return a figure, or None where the study does not have it.

        ``style`` is ``screen``, ``paper`` or ``slides``. Raises ValueError for an unknown name.
        """
        return _drawn(name, self.findings, style=style)

    def frames(self) -> tuple[Drawing, ...]:
        """Return the additive chart as slides, one more series a frame; empty without steps."""
        return _frames(self.findings)


Study = str | Path | StudyRecord | Findings | StudyResults
"""A study file, the name of a stored study, or what was made of one before."""
Place = Store | Path | str | None
"""A store or its folder; None for the one that ``ABLATE_STORE`` names, else ``.ablate``."""


def open_study(study: Study, store: Place = None) -> StudyResults:
    """Return what is known of a study: scores, effects, tables and figures.

    ``study`` is the path of a study file, or the name of a study that ran in the store: then the
    file counts as it was when it ran last. Raises SurroundingsError where there is no such study or
    nothing of it is finished, StudyError where its file has problems.
    """
    if isinstance(study, StudyResults):
        return study
    if isinstance(study, StudyRecord | Findings):
        return StudyResults(study)
    return StudyResults(record_of(study, opened_store(store)))


def load_results(study: Study, store: Place = None) -> pd.DataFrame:
    """Return one row per run, stage and metric; see `ablate.reporting.results.results_frame`."""
    return open_study(study, store).results


def effects_frame(study: Study, store: Place = None) -> pd.DataFrame:
    """Return one row per contrast and metric; see `ablate.reporting.results.effects_of`."""
    return open_study(study, store).effects


def factors_frame(study: Study, store: Place = None, *, rows: Rows = "terms") -> pd.DataFrame:
    """Return main effects and interactions of a grid; see `ablate.reporting.factor_frames`."""
    return factors_of(open_study(study, store).findings, rows)


def make_table(
    name: str, study: Study, *, store: Place = None, form: Form = "values"
) -> pd.DataFrame | None:
    """Return a table of the report as a frame; see `StudyResults.table`."""
    return open_study(study, store).table(name, form)


def make_figure(
    name: str, study: Study, *, store: Place = None, style: str = "screen"
) -> Drawing | None:
    """Return a figure of the report; see `StudyResults.figure`."""
    return open_study(study, store).figure(name, style)


def make_frames(study: Study, *, store: Place = None) -> tuple[Drawing, ...]:
    """Return a ladder's additive chart as slides; see `StudyResults.frames`."""
    return open_study(study, store).frames()
