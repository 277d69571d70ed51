import json
from pathlib import Path

from ablate.spec.analysis import Analysis
from ablate.store.declarations import DECLARED, amendments, declarations, declare


def dumped(**fields: object) -> dict[str, object]:
    return Analysis.model_validate(fields).model_dump(mode="json")


def test_an_analysis_declared_before_results_stays_what_it_is(tmp_path: Path) -> None:
    declare(tmp_path, dumped(margin=1.0), results=0, of=4)
    declare(tmp_path, dumped(margin=1.0), results=4, of=4)
    assert [one.results for one in declarations(tmp_path)] == [0]
    assert amendments(tmp_path, dumped(margin=1.0)) == ()


def test_a_change_before_the_first_result_is_no_amendment(tmp_path: Path) -> None:
    declare(tmp_path, dumped(margin=1.0), results=0, of=4)
    declare(tmp_path, dumped(margin=2.0), results=0, of=4)
    assert amendments(tmp_path, dumped(margin=2.0)) == ()


def test_a_change_after_results_is_told_whether_or_not_it_was_run(tmp_path: Path) -> None:
    declare(tmp_path, dumped(margin=1.0, contrasts=["baseline"]), results=0, of=4)
    changed = dumped(margin=0.5, contrasts=["baseline"])
    told = ("analysis.margin was 1.0 when declared, now 0.5",)
    assert amendments(tmp_path, changed) == told
    declare(tmp_path, changed, results=3, of=4)
    assert amendments(tmp_path, changed) == told
    assert amendments(tmp_path, dumped(margin=1.0, contrasts=["baseline"])) == ()


def test_a_first_declaration_beside_results_says_so(tmp_path: Path) -> None:
    declare(tmp_path, dumped(), results=2, of=4)
    assert amendments(tmp_path, dumped()) == ("first declared when 2 of 4 results already existed",)


def test_a_study_of_before_and_damaged_lines_say_nothing(tmp_path: Path) -> None:
    assert amendments(tmp_path, dumped()) == ()
    (tmp_path / DECLARED).write_text('{"half\n[]\n' + json.dumps({"analysis": 3}) + "\n")
    assert declarations(tmp_path) == [] and amendments(tmp_path, dumped()) == ()
    declare(tmp_path, dumped(), results=0, of=1)
    assert len(declarations(tmp_path)) == 1


def test_results_of_a_study_that_never_ran_here_were_not_declared(tmp_path: Path) -> None:
    told = ("no run of this study wrote its analysis down",)
    assert amendments(tmp_path, dumped(), results=3) == told


def test_a_field_of_a_later_version_is_no_amendment(tmp_path: Path) -> None:
    earlier = dumped()
    del earlier["claim"]
    declare(tmp_path, earlier, results=0, of=1)
    assert amendments(tmp_path, dumped()) == ()
