"""A folder of results with a hand-made grid and profile."""

from pathlib import Path

import pytest

from tests.presentation.pairings.made_grids import results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return results(tmp_path)
