"""`hybrid evaluate` prints a report a system."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from hybrid.models.writing import add_pair
from hybrid.training.evaluate import CONTROLS
from tests.training.conftest import RECIPE

Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "three.tsv"
    lines = (f"made\tThe house by river {i} is old.\tDas Haus {i} ist alt.\n" for i in range(3))
    path.write_text("".join(lines), "utf-8")
    return str(path)


def test_quality_has_a_score_and_its_signature(run: Run, file: str) -> None:
    result = run("evaluate", file, "--json", "--limit", "2", "--control", "--system", "hybrid")
    plain, *controls = map(json.loads, result.stdout.splitlines())
    assert plain["file"] == "three.tsv"
    assert [row["system"] for row in (plain, *controls)] == ["hybrid", *CONTROLS.values()]
    assert {row["n"] for row in (plain, *controls)} == {2}
    assert plain["BLEU"] >= 0
    assert "version:" in plain["signature"]


def test_what_is_named_wrongly_is_said_before_anything_else(
    run: Run, file: str, failure: Failure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No notice of the task, and no model read, before a file is found missing or a task unknown."""
    monkeypatch.setattr("hybrid.models.sources.load_bundle", lambda *_: pytest.fail("models were read"))
    missing = run("evaluate", file, f"{file}.not-there.tsv")
    assert f"{file}.not-there.tsv" in failure(missing)
    assert missing.stderr.count("\n") == 1
    assert "available: translate-en-de, summarize" in failure(run("evaluate", file, "--task", "sing"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that nobody has trained."""
    for name in ("train.tsv", "train.jsonl", "dev.tsv"):
        (tmp_path / name).write_text("made\tone house\tein Haus\n", "utf-8")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(folder=tmp_path.as_posix()), "utf-8")
    return path


def test_a_recipe_that_was_not_trained_is_one_sentence(
    run: Run, file: str, recipe: Path, failure: Failure
) -> None:
    sentence = failure(run("evaluate", file, "--recipe", str(recipe)))
    assert f"The recipe tiny has not been trained: {recipe.with_name('out')}" in sentence


def test_a_recipe_without_a_bundle_asks_for_a_stage(
    run: Run, file: str, recipe: Path, failure: Failure
) -> None:
    recipe.write_text(recipe.read_text("utf-8").partition("[bundle]")[0], "utf-8")
    assert "--stage" in failure(run("evaluate", file, "--recipe", str(recipe)))


@pytest.mark.parametrize("options", [("--system", "hybrid"), ("--system", "slm", "--control")])
def test_a_hybrid_that_does_not_exist_is_one_sentence(
    run: Run,
    file: str,
    tiny_zoo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Failure,
    options: tuple[str, ...],
) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(shutil.copytree(tiny_zoo, tmp_path / "zoo")))
    add_pair("untrained", "tiny/llm", "tiny/slm")
    sentence = failure(run("evaluate", file, "--pair", "untrained", *options))
    assert "`hybrid train RECIPE` makes it" in sentence


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here_is_one_sentence(run: Run, file: str, failure: Failure) -> None:
    assert "available: cpu." in failure(run("evaluate", file, "--device", "cuda"))
