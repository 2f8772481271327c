"""Profiles: costs between those that were measured, and files that come back as they were."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid.errors import StoreError
from hybrid.sizing import Costs, load_profile, profile_names, save_profile
from hybrid.sizing.profile import Known, between

LINE = tuple(Costs(1, tokens, {"fixed": seconds}) for tokens, seconds in ((32, 2.0), (128, 8.0), (512, 16.0)))
ONE = {"fixed": 1.0}


@pytest.mark.parametrize(
    ("tokens", "seconds"),
    [(32, 2), (128, 8), (512, 16), (64, 4), (256, 128**0.5), (16, 1), (1024, 16 + 512 * 8 / 384)],
)
def test_along_tokens(tokens: int, seconds: float) -> None:
    assert between(LINE, (1, tokens), ONE) == pytest.approx(seconds)


def test_along_prompts_and_tokens() -> None:
    square = (
        *LINE,
        *(replace(costs, batch=8, seconds={"fixed": 2 * costs.seconds["fixed"]}) for costs in LINE),
    )
    assert between(square, (8, 128), ONE) == pytest.approx(16)
    assert between(square, (8**0.5, 64), ONE) == pytest.approx(4 * 2**0.5)
    assert between(square, (15, 32), ONE) == pytest.approx(6)  # 2 more for 7 more prompts


def test_one_size_stands_for_all_and_nothing_costs_less_than_nothing() -> None:
    assert between(LINE[:1], (5, 999), ONE) == 2.0
    falling = (Costs(1, 10, {"fixed": 2.0}), Costs(1, 20, {"fixed": 1.0}))
    assert between(falling, (1, 100), ONE) == 0.0
    assert between((Costs(1, 10, {}), Costs(1, 20, {"fixed": 4.0})), (1, 15), ONE) == 2.0


def test_ratios_of_measured_shapes() -> None:
    costs = Costs(1, 0, {"fixed": 1.0}, (Known((20.0, 22.0), 2.0), Known((24.0, 26.0), 0.5)))
    assert costs.of(ONE) == 1.0
    assert costs.of(ONE, (20.0, 22.0)) == pytest.approx(2.0, rel=0.01)
    assert costs.of(ONE, (24.0, 26.0)) == pytest.approx(0.5, rel=0.01)
    assert costs.of(ONE, (22.0, 24.0)) == pytest.approx(1.0)
    assert costs.of({"other": 5.0}, (22.0, 24.0)) == 0.0


def test_a_profile_comes_back(made_up, tmp_path: Path) -> None:
    profile = made_up(step=(Costs(1, 0, {"fixed": 1e-6}, (Known((20.0, 21.5), 1.25),)),))
    path = save_profile(profile, tmp_path)
    assert path == tmp_path / "devices" / "made-up.json"
    assert load_profile("made-up", tmp_path) == profile
    path.rename(path.with_name("renamed.json"))
    assert load_profile(None, tmp_path) == replace(profile, name="renamed")


def test_the_newest_is_the_default(made_up, tmp_path: Path) -> None:
    save_profile(made_up(name="b-old"), tmp_path)
    save_profile(made_up(name="a-new", created_at="2026-11-24T00:00:00+00:00"), tmp_path)
    assert load_profile(None, tmp_path).name == "a-new"
    assert profile_names(tmp_path) == ["a-new", "b-old"]
    with pytest.raises(StoreError, match=r"no profile 'c' in .*; available: a-new, b-old\."):
        load_profile("c", tmp_path)


def test_results_folder_of_the_environment(made_up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "here"))
    with pytest.raises(
        StoreError, match=r"There are no profiles in .*here/devices\. `hybrid device` measures one"
    ):
        load_profile()
    save_profile(made_up())
    assert (tmp_path / "here" / "devices" / "made-up.json").is_file()
    assert load_profile().name == "made-up"


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "x" * 101])
def test_names_that_are_no_file_names(made_up, tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name a profile"):
        save_profile(made_up(name=name), tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row.pop("step"), "step"),
        (lambda row: row.update(format=2), "format 2 and this version reads 1"),
        (lambda row: row.update(threads="one"), "threads"),
    ],
)
def test_damaged_files_are_named(made_up, tmp_path: Path, change, reason: str) -> None:
    path = save_profile(made_up(), tmp_path)
    row = json.loads(path.read_text())
    change(row)
    path.write_text(json.dumps(row))
    with pytest.raises(StoreError, match=reason) as caught:
        load_profile("made-up", tmp_path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1, "na'])
def test_what_is_no_profile(made_up, tmp_path: Path, text: str) -> None:
    save_profile(made_up(), tmp_path).write_text(text)
    with pytest.raises(StoreError, match=r"made-up\.json cannot be read: .* measures it anew"):
        load_profile("made-up", tmp_path)
