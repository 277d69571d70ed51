"""Names that try to leave a store, and who can read what is in it."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))

from toy_study import run, study

from ablate.cli.main import main
from ablate.errors import SurroundingsError
from ablate.store.files import sha256
from ablate.store.gc import GcOptions, collect, sweep
from ablate.store.layout import Store
from ablate.store.manifest import is_inside
from ablate.store.privacy import SHARE_VARIABLE, in_store, make_private, private
from ablate.store.trash import Trash, TrashEntry

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
PIECES = st.sampled_from(
    ["..", ".", "", "/", "\\", "\0", "a", "policy", "～", "․․", "\u202e", "a/../..", "%2e%2e"]
)
NAMES = st.lists(PIECES | st.text(max_size=6), max_size=5).map("".join)
"""Two dots that only look so, a mark that reverses text, and what a decoder would make of dots."""


@FEW
@given(stage=NAMES, name=NAMES)
def test_no_name_leaves_the_store(stage: str, name: str) -> None:
    store = Store("/somewhere/store")
    for place in (
        lambda: store.artifact(stage, name),
        lambda: store.pruned(stage, name),
        lambda: store.job(name),
        lambda: store.study(name),
    ):
        try:
            path = place()
        except SurroundingsError as error:
            assert "is no name of a stage, job or study" in str(error)
            continue
        assert os.path.normpath(path) == str(path)
        assert path.parts[:3] == ("/", "somewhere", "store") and len(path.parts) in (5, 6)


@FEW
@given(NAMES)
def test_a_file_of_a_manifest_is_inside_its_folder_or_refused(name: str) -> None:
    path = os.path.normpath(os.path.join("/store/artifact", name))
    if is_inside(name):
        assert path.startswith("/store/artifact/")


@pytest.mark.parametrize("name", ["a" * 64, "1cf1e62cf2f6ea25", "my-study_2.1", "reward_model"])
def test_ordinary_names_are_names(name: str) -> None:
    assert in_store(name) == name


@FEW
@given(origin=NAMES | st.sampled_from(["artifacts/../../x", "studies/..", "/etc", "artifacts/a"]))
def test_nothing_in_the_trash_goes_back_to_outside_the_store(tmp_path: Path, origin: str) -> None:
    store = Store(tmp_path / "store")
    store.create()
    entry = TrashEntry("x-1", origin, "", 0.0, 0)
    content = store.root / "trash" / "x-1" / "content"
    content.mkdir(parents=True, exist_ok=True)
    before = {path for path in tmp_path.iterdir()}
    try:
        place = Trash(store.root).restore(entry)
    except SurroundingsError as error:
        assert "no place of this store" in str(error)
    else:
        assert store.root in place.parents and place.parent != store.root
    assert {path for path in tmp_path.iterdir()} == before


def test_nothing_goes_back_through_a_link_to_outside(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.create()
    (tmp_path / "outside").mkdir()
    (store.root / "artifacts" / "sft").symlink_to(tmp_path / "outside")
    (store.root / "trash" / "x-1" / "content").mkdir(parents=True)
    with pytest.raises(SurroundingsError, match="no place of this store"):
        Trash(store.root).restore(TrashEntry("x-1", "artifacts/sft/ab12", "", 0.0, 0))
    assert list((tmp_path / "outside").iterdir()) == []


def committed(store: Store, **changes: object) -> Path:
    """Write an artifact with one file; return its folder."""
    folder = store.artifact("sft", "ab12")
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"abc")
    record = {
        "fingerprint": "ab12", "stage": "sft", "config_class": "SftConfig", "config": {},
        "inputs": {}, "files": {"a": {"size": 3, "sha256": sha256(folder / "a")}}, "attempt": 1,
        "engine": "local", "study": "s", "code": "c", "started": 0.0, "ended": 1.0,
        "wall_seconds": 1.0, "schema": 1,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({**record, **changes}))
    return folder


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a\0b"])
def test_a_manifest_that_names_files_elsewhere_is_damaged(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / "store")
    store.create()
    committed(store, files={"a": {"size": 3, "sha256": ""}, name: {"size": 0, "sha256": ""}})
    assert not store.has("sft", "ab12") and store.intact("sft", "ab12") is None
    assert not store.artifact("sft", "ab12").exists()


def test_an_artifact_that_is_a_link_is_set_aside_and_never_followed(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    store.create()
    folder = committed(other)
    link = store.artifact("sft", "ab12")
    link.parent.mkdir()
    link.symlink_to(folder)
    assert not store.has("sft", "ab12") and store.intact("sft", "ab12") is None
    assert not link.is_symlink() and (folder / "a").read_bytes() == b"abc"
    store.empty_trash()
    assert (folder / "a").read_bytes() == b"abc"


def test_collecting_a_link_leaves_what_it_names(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.create()
    folder = committed(Store(tmp_path / "other"))
    for name in ("artifacts", "attempts"):
        parent = store.root / name / ("sft" if name == "artifacts" else "")
        parent.mkdir(exist_ok=True)
        (parent / "ab12").symlink_to(folder)
    found, _ = sweep(store, GcOptions())
    assert [item.kind for item in found.items] == ["artifact"]
    store.empty_trash()
    assert (folder / "a").read_bytes() == b"abc"


def test_records_of_a_plan_build_no_paths(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.create()
    folder = store.study("s")
    folder.mkdir()
    row = {"stage": "../..", "fingerprint": "../../../etc", "inputs": {"a": "/"}}
    (folder / "plan.json").write_text(json.dumps({"jobs": [row]}))
    assert collect(store, GcOptions()).items == ()


def test_nobody_else_can_read_what_a_study_writes(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        store = Store(tmp_path / "store")
        assert run(store, study(1)).complete
    finally:
        os.umask(former)
    loose = [
        path
        for path in [store.root, *store.root.rglob("*")]
        if stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]
    assert loose == []


def test_a_group_may_share_a_store_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SHARE_VARIABLE, "group")
    former = os.umask(0)
    try:
        make_private(tmp_path / "store")
        with private():
            (tmp_path / "store" / "a").write_text("")
        assert os.umask(0) == 0
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o770
    assert stat.S_IMODE((tmp_path / "store" / "a").stat().st_mode) == 0o660


def test_a_store_that_was_open_is_closed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (store.root / "artifacts").mkdir(parents=True)
    (store.root / "artifacts").chmod(0o777)
    store.create()
    assert stat.S_IMODE((store.root / "artifacts").stat().st_mode) == 0o700


def test_a_study_name_cannot_be_a_path_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(
        "study: ../../x\nbase: {model: tiny-instruct, dataset: ai-fine}\ngrid: {algorithm: [dpo]}\n"
    )
    assert main(["run", "s.yaml"]) == 2
    assert "cannot name a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]
