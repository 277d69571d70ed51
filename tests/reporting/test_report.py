from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from ablate.errors import SurroundingsError
from ablate.reporting import latex
from ablate.reporting.findings import analyse
from ablate.reporting.frames import effects_frame, load_results, make_figure
from ablate.reporting.markdown import escape, markdown_table
from ablate.reporting.records import StudyRecord
from ablate.reporting.report import ReportFiles, build_report
from ablate.reporting.scope import scope_of
from ablate.reporting.scores_comparison import comparison
from ablate.reporting.study_tables import TABLES

from .builders import Fake, Size, change, study_of, unfinished

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> & |"


class Page(HTMLParser):
    """Collects tags and visible text, and fails on an element that is closed twice."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def ladder_report(
    ladder_study: StudyRecord, tmp_path_factory: pytest.TempPathFactory
) -> ReportFiles:
    return build_report(ladder_study, tmp_path_factory.mktemp("report"))


def small(root: Path, *, name: str = "PPO", output: str = "yes", seeds: int = 2) -> StudyRecord:
    fakes = [
        Fake("SFT", {}, kind="sft", kl_coef=None),
        Fake(name, {"dataset": "a", "algorithm": "ppo"}, 1.0, output=output),
    ]
    return study_of(root, fakes, Size(seeds=seeds, items=20))


def test_a_ladder_gets_every_figure_and_file(ladder_report: ReportFiles) -> None:
    names = {path.name for path in ladder_report.figures}
    stems = ("stepwise", "dpo-vs-ppo", "forest", "training-online", "training-offline")
    assert names >= {
        f"{s}.{e}" for s in (*stems, "over-optimization") for e in ("svg", "png", "pdf")
    }
    frames = {f"{k:02d}.{e}" for k in range(6) for e in ("svg", "png", "pdf")}
    at = ladder_report.html.parent / "figures" / "stepwise-frames"
    assert {path.name for path in at.iterdir()} == frames
    for path in (ladder_report.html, ladder_report.markdown, ladder_report.results):
        assert path.stat().st_size > 0
    leftovers = [p for p in ladder_report.html.parent.iterdir() if p.name.startswith(".partial")]
    assert leftovers == []


def test_the_page_asks_for_nothing_outside_itself(ladder_report: ReportFiles) -> None:
    page = ladder_report.html.read_text()
    assert re.findall(r"https?://|//[a-z]+\.", page) == []
    assert "innerHTML" not in page and "default-src 'none'" in page
    sources = [a["src"] for tag, a in Page(page).tags if tag == "img"]
    assert sources and all(str(s).startswith("data:image/svg+xml;base64,") for s in sources)
    assert ladder_report.html.stat().st_size < 5_000_000


def test_the_page_has_landmarks_headings_and_described_figures(ladder_report: ReportFiles) -> None:
    tags = Page(ladder_report.html.read_text()).tags
    names = [tag for tag, _ in tags]
    assert all(names.count(tag) == 1 for tag in ("main", "header", "nav", "footer", "h1"))
    assert ("html", {"lang": "en"}) in tags
    assert all(a.get("alt") for tag, a in tags if tag == "img")
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    links = [str(a["href"]) for tag, a in tags if tag == "a"]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    beside = {link for link in links if not link.startswith(("#", "data:"))}
    assert all((ladder_report.html.parent / link).is_file() for link in beside)


def test_the_page_shows_question_expectation_and_what_was_observed(
    ladder_report: ReportFiles,
) -> None:
    text = Page(ladder_report.html.read_text()).text
    assert "does PPO beat DPO?" in text and "PPO wins by 0 to 2 points" in text
    assert (
        "Effects against the baseline on Average: 4 better, 1 worse and 1 inconclusive of 6."
        in text
    )
    assert "leave out what redrawing the base model, the SFT checkpoint and the preference" in text


def test_the_same_artifacts_give_the_same_bytes(tmp_path: Path) -> None:
    study = small(tmp_path / "data")
    first, second = (build_report(study, tmp_path / name) for name in ("a", "b"))
    assert first.html.read_bytes() == second.html.read_bytes()
    for left, right in zip(first.figures, second.figures, strict=True):
        assert left.read_bytes() == right.read_bytes(), left.name


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    study = small(tmp_path / "data")
    build_report(study, tmp_path / "out")
    files = build_report(replace(study, question="Another one?"), tmp_path / "out")
    assert "Another one?" in files.html.read_text()


def test_text_from_studies_and_models_is_never_markup(tmp_path: Path) -> None:
    study = small(tmp_path / "data", name=HOSTILE, output=HOSTILE)
    study = replace(study, name=HOSTILE, question=HOSTILE, source_text=HOSTILE)
    study = unfinished(study, HOSTILE, 1, HOSTILE)
    files = build_report(study, tmp_path / "out")
    page = Page(files.html.read_text())
    scripts = [a for tag, a in page.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": "outputs"}, {}]
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "<script>alert(1)</script>" in page.text
    assert "<script>" not in files.markdown.read_text()
    for path in files.figures:
        if path.suffix == ".svg":
            assert "<script" not in path.read_text()


def test_a_partial_study_says_so_and_gives_the_reason(grid_study: StudyRecord) -> None:
    study = grid_study
    for seed in range(3):
        study = unfinished(study, "ppo ai-fine", seed, "not run")
    table = comparison(analyse(study))
    row = next(row for row in table.rows if row[0].text == "ppo ai-fine")
    assert row[1].text == "–" and row[1].hint == "not run"
    assert "seed 0: not run" in row[0].sub


def test_a_study_without_any_result_still_gives_a_report(tmp_path: Path) -> None:
    study = small(tmp_path / "data")
    for run in study.runs:
        study = unfinished(study, run.cell, run.seed, "not run")
    files = build_report(study, tmp_path / "out")
    text = Page(files.html.read_text()).text
    assert "nothing can be compared" in text and "0 of 4 runs complete" in text
    assert set(pd.read_csv(files.results)["missing_reason"]) == {"not run"}


def test_one_seed_carries_a_badge_and_no_shading(tmp_path: Path) -> None:
    study = small(tmp_path / "data", seeds=1)
    page = Page(build_report(study, tmp_path / "out").html.read_text())
    assert "1 seed: checkpoint-level claims" in page.text
    assert "no longer significant at a seed-to-seed SD above" in page.text
    shades = {str(a.get("class")).strip() for tag, a in page.tags if tag == "td"}
    assert "better" not in shades


def test_preliminary_numbers_carry_the_footnote(tmp_path: Path) -> None:
    study = change(small(tmp_path / "data"), "PPO", 0, status="preliminary")
    table = comparison(analyse(study))
    assert [row[0].text for row in table.rows] == ["SFT", "PPO *"]
    assert "* Preliminary: these numbers are not final." in table.notes


def test_mixed_numerics_are_flagged(tmp_path: Path) -> None:
    fakes = [
        Fake("SFT", {}, kind="sft", kl_coef=None),
        Fake("other", {}, numerics={"machine": "arm64", "versions": {"torch": "2.12.0"}}),
    ]
    study = study_of(tmp_path / "data", fakes, Size(seeds=1, items=16))
    page = Page(build_report(study, tmp_path / "out").html.read_text())
    assert "evaluation jobs differ in machine (arm64; x86_64)" in page.text
    assert "evaluation jobs differ in versions" in page.text


def test_results_have_one_row_per_run_and_metric(grid_study: StudyRecord) -> None:
    frame = load_results(grid_study)
    averages = frame[(frame.metric == "average") & (frame.stage == "evaluation")]
    assert len(averages) == len(grid_study.runs)
    assert set(averages.dataset.dropna()) == {"human-noisy", "web-narrow", "ai-overall", "ai-fine"}
    assert not frame.duplicated(["cell", "seed", "stage", "metric"]).any()
    last = frame[(frame.level == "last_step") & (frame.metric == "gold")]
    assert set(last.cell) == {f"ppo {name}" for name in ("human-noisy", "ai-overall", "ai-fine")}


def test_the_effects_frame_holds_what_the_report_shows(grid_study: StudyRecord) -> None:
    frame = effects_frame(grid_study)
    row = frame[(frame.kind == "algorithm") & (frame.metric == "average")].iloc[0]
    expected = analyse(grid_study).rows("algorithm")[0]
    assert row.delta == expected.effect.value and row.verdict == expected.verdict.value


def test_an_unknown_figure_names_the_nearest(grid_study: StudyRecord) -> None:
    with pytest.raises(ValueError, match="Did you mean 'forest'"):
        make_figure("forrest", grid_study)


def test_a_figure_the_study_does_not_have_is_none(grid_study: StudyRecord) -> None:
    assert make_figure("stepwise", grid_study) is None
    assert make_figure("heatmap-steps", grid_study) is None


def test_unreadable_scores_say_which_file(tmp_path: Path) -> None:
    study = small(tmp_path / "data")
    folder = study.runs[0].folder("evaluation")
    assert folder is not None
    (folder / "scores.json").write_text("{")
    with pytest.raises(SurroundingsError, match=r"scores\.json: cannot be read as metric rows"):
        build_report(study, tmp_path / "out")


def test_reward_models_without_downstream_effect_are_said_to_be_unproven(
    reward_study: StudyRecord, tmp_path: Path
) -> None:
    text = Page(build_report(reward_study, tmp_path).html.read_text()).text
    assert "Of 4 steps to a larger reward model, 0 gave a policy that is better" in text
    assert "No downstream effect of reward-model size was found; that is no proof of none" in text


def test_a_latex_table_escapes_text_and_has_equal_rows(grid_study: StudyRecord) -> None:
    assert latex.escape("50 % of a_b & \N{MINUS SIGN}1") == r"50 \% of a\_b \& $-$1"
    lines = latex.latex_table(comparison(analyse(grid_study))).splitlines()
    rows = [line for line in lines if line.endswith(r"\\")]
    assert len(rows) == 1 + 2 * 9  # The heads, then two lines a cell.
    assert len({len(re.findall(r"(?<!\\)&", row)) for row in rows}) == 1


def test_markdown_escapes_what_would_break_a_table() -> None:
    assert escape("a|b\n<i>*c*") == r"a\|b \<i\>\*c\*"


def test_a_markdown_table_has_equal_rows(grid_study: StudyRecord) -> None:
    lines = markdown_table(comparison(analyse(grid_study))).strip().splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_the_scope_of_one_seed_is_the_checkpoints(one_seed_study: StudyRecord) -> None:
    assert "over evaluation items only" in scope_of(analyse(one_seed_study))


def test_the_scope_names_what_seeds_do_not_reach(grid_study: StudyRecord) -> None:
    study = replace(grid_study, vary=("model", "sft", "preferences", "reward_model", "policy"))
    assert scope_of(analyse(study)).endswith(
        "leave out what redrawing the sampled completions would change."
    )


def test_every_table_of_the_page_can_be_asked_for_by_the_name_of_its_file(
    ladder_report: ReportFiles,
) -> None:
    assert {path.stem for path in ladder_report.tables} <= set(TABLES)
