"""Whatever bytes a grid or a profile is, the map of sizes is drawn of the others, and it can be removed."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.errors import HybridError
from hybrid.presentation.pairings.cells import pair_cells
from hybrid.presentation.pairings.measured import error_sentence, measured_pairs
from hybrid.presentation.pairings.sources import sources
from hybrid.sizing import load_profile
from hybrid.store.run_lock import delete_stored
from tests.fuzz.mutations import mutations
from tests.presentation.pairings.made_grids import ASKED, results

FEW, MANY = 15, int(os.environ.get("FUZZ", 2000))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
FILES = {"grids/grid-1": ".jsonl", "devices/made-up": ".json"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a sound grid and a sound profile."""
    root = results(tmp_path_factory.mktemp("whole"))
    return {name: (root / f"{name}{suffix}").read_bytes() for name, suffix in FILES.items()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return results(tmp_path / "results")


def drawn(root: Path) -> None:
    """All that the page Pairings computes."""
    known = sources(root)
    for problem in known.problems:
        problem.encode()
        assert len(problem) < 2000
    for device in known.devices:
        device.label.encode()
        measured = measured_pairs(device, known.shapes, root)
        shapes = list(known.shapes.values())[:3]
        pair_cells(device, measured, shapes, shapes, ASKED)
        error_sentence(device, measured)
        known.sizes("prompts", (8, 16), 1000)


def _one(data: st.DataObject, whole: dict[str, bytes], root: Path) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    path = root / f"{name}{FILES[name]}"
    path.write_bytes(data.draw(mutations(whole[name], lines=name.startswith("grids"))))
    drawn(root)
    with suppress(HybridError):
        load_profile("made-up", root)
    delete_stored(name, root)
    assert not path.exists()
    drawn(root)
    path.write_bytes(whole[name])


@given(data=st.data())
@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_a_grid_or_a_profile_with_one_thing_wrong(
    data: st.DataObject, whole: dict[str, bytes], root: Path
) -> None:
    _one(data, whole, root)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(data=st.data())
@settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=QUIET)
def test_thousands_of_grids_and_profiles(data: st.DataObject, whole: dict[str, bytes], root: Path) -> None:
    _one(data, whole, root)
