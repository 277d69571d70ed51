import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the public data files; tests that need one skip where it is absent."""
    beside_the_repository = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ABLATE_DATA_DIR") or beside_the_repository)
    if not folder.is_dir():
        pytest.skip("no data files here: set ABLATE_DATA_DIR to their folder")
    return folder
