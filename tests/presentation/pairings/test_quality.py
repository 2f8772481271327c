"""Quality is a run's: of the pair that is here, with its own weights, the newest complete one."""

from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from hybrid.models.known_shapes import find_shape
from hybrid.presentation.pairings.cells import PairCell
from hybrid.presentation.pairings.measured import Quality, quality, quality_runs, trained_pairs
from hybrid.presentation.pairings.metrics import (
    NO_RUN,
    NOT_TRAINED,
    Terms,
    cell_source,
    lines,
    on_cell,
    why_none,
)
from hybrid.presentation.pairings.sources import Device
from hybrid.presentation.runs.catalog import catalog
from hybrid.presentation.runs.digest import RunDigest, run_digest
from hybrid.schema import SYSTEMS
from tests.made_runs import store_run
from tests.presentation.pairings.made_grids import ASKED, LARGE, SMALL
from tests.sizing.made_up import made_up_profile

SHAPES = {
    "bundled-llm": replace(LARGE, name="bundled-llm", source="tiny/llm"),
    "bundled-slm": replace(SMALL, name="bundled-slm", source="tiny/slm"),
    "small": SMALL,
}
DEVICE = Device("made-up", made_up_profile(engine="onnx", dtype="int8"), ())


@pytest.fixture
def weights(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hash of the pair that is here."""
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    return sha256((tiny_zoo / "tiny" / "pair.json").read_bytes()).hexdigest()


def of_weights(run_id: str, weights: str, root: Path) -> RunDigest:
    """A run's digest as if its weights were these."""
    digest = run_digest(run_id, root)
    rows = {system: dict(row) | {"weights_sha256": weights} for system, row in digest.rows.items()}
    return replace(digest, rows=rows)


def found_in(root: Path, weights: str, device: Device = DEVICE) -> Quality | None:
    runs = quality_runs(catalog(root).entries, SHAPES)
    return quality(runs, device, "tiny", partial(of_weights, weights=weights, root=root))


def test_the_newest_complete_run_of_the_pair(weights: str, tmp_path: Path):
    for number, more in enumerate([{}, {}, {"answered": 0.5}, {"pair": "other"}, {"systems": SYSTEMS[:2]}]):
        store_run(tmp_path, number, examples=6, **more)
    quality = found_in(tmp_path, weights)
    rows = run_digest("made-0001", tmp_path).rows
    assert quality is not None
    assert quality.entry.run_id == "made-0001"
    assert quality.quality_kept == pytest.approx(rows["hybrid"]["bleu"] / rows["llm"]["bleu"])
    assert quality.value == pytest.approx(rows["hybrid"]["bleu"] - rows["llm"]["bleu"])
    assert (quality.metric, quality.n) == ("BLEU", 6)
    assert "made-0001" in quality.sentence


def test_a_run_in_the_devices_own_engine_goes_first(weights: str, tmp_path: Path):
    store_run(tmp_path, 0, examples=4)
    store_run(tmp_path, 1, examples=4, engine="torch")
    assert found_in(tmp_path, weights).entry.run_id == "made-0000"
    elsewhere = replace(DEVICE, profile=replace(DEVICE.profile, engine="cuda-graph"))
    assert found_in(tmp_path, weights, elsewhere).entry.run_id == "made-0001"


def test_runs_of_other_weights_or_of_fixed_length_do_not_count(weights: str, tmp_path: Path):
    from hybrid.schema import Sampling

    store_run(tmp_path, 0, examples=4)
    assert found_in(tmp_path, "ab" * 32) is None
    assert found_in(tmp_path, weights) is not None
    store_run(tmp_path, 1, examples=4, sampling=Sampling(64, ignore_eos=True))
    assert found_in(tmp_path, weights).entry.run_id == "made-0000"


def test_only_the_trained_pair_shows_it(weights: str, tmp_path: Path):
    store_run(tmp_path, 0, examples=4)
    quality = found_in(tmp_path, weights)
    trained, other = (PairCell(SHAPES["bundled-llm"], SHAPES[slm], ASKED) for slm in ("bundled-slm", "small"))
    names = ("bundled-llm", "bundled-slm")
    terms = Terms(1.0, {names: quality})
    assert on_cell("quality", trained, terms) == f"{100 * quality.quality_kept:.1f} %"
    assert cell_source("quality", trained, terms) == "measured"
    assert any("made-0000" in line for line in lines("quality", trained, terms))
    assert on_cell("quality", other, terms) == "not trained"
    assert why_none("quality", other, terms) == NOT_TRAINED
    assert why_none("quality", trained, Terms(1.0, {names: None})) == NO_RUN


def test_trained_pairs_are_those_that_are_here(weights: str):
    shapes = {name: find_shape(name) for name in ("bundled-llm", "bundled-slm", "t5-small")}
    assert trained_pairs(shapes) == {("bundled-llm", "bundled-slm"): "tiny"}
    assert trained_pairs({}) == {}
    names = ("own/llm", "own/slm")
    others = {name: replace(SMALL, name=name, source=name) for name in names}
    assert trained_pairs(shapes | others)[names] == "own"
