import os
from pathlib import Path

import pytest

LONGEST = (
    "execution/engines/test_ray_engine.py",
    "training/test_sharded_training.py",
    "test_matched_budgets.py",
    "test_readme.py",
    "test_end_to_end.py",
    "execution/",
    "faults/",
    "tracking/",
    "training/",
    "reporting/",
)
"""How paths of files begin that take long, mostly for the processes that they start."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest: a short one ends last, and no core waits for it."""
    here = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        name = item.path.relative_to(here).as_posix()
        fitting = (n for n, start in enumerate(LONGEST) if name.startswith(start))
        return next(fitting, len(LONGEST))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the public data files; tests that need one skip where it is absent."""
    beside_the_repository = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ABLATE_DATA_DIR") or beside_the_repository)
    if not folder.is_dir():
        pytest.skip("no data files here: set ABLATE_DATA_DIR to their folder")
    return folder
