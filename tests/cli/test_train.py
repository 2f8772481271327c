"""`hybrid train`: what it hands on and how it shows a stream of events."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.training.conftest import RECIPE

Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, "There is no recipe"),
        ("name = ", "is not valid TOML"),
        ('name = "x"\nspeed = 3\n', "speed is not a key"),
        ('name = "x"\n', "missing required field seed"),
    ],
)
def test_wrong_recipe_is_one_sentence(
    content: str | None, error: str, tmp_path: Path, run: Run, failure: Failure
) -> None:
    recipe = tmp_path / "recipe.toml"
    if content is not None:
        recipe.write_text(content)
    message = failure(run("train", str(recipe)))
    assert str(recipe) in message
    assert error in message


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Replaces training by two stages of ready events; the calls it got."""
    from hybrid.training.train import TrainEvent

    calls: list[tuple[Any, ...]] = []

    def fake(*arguments: Any) -> Iterator[TrainEvent]:
        calls.append(arguments)
        rates = {"tokens_per_s": 512345.6, "eta_s": 3725.2}
        yield TrainEvent("start", "llm", 0, 200, {"device": "cpu", "resumed_from": 0})
        yield TrainEvent("progress", "llm", 100, 200, {"cross_entropy": 3.14159, "kl": 0.0} | rates)
        yield TrainEvent("dev", "llm", 200, 200, {"cross_entropy": 2.5})
        yield TrainEvent("done", "llm", 200, 200, {"gpu_hours": 0.1})
        yield TrainEvent("start", "hybrid", 40, 80, {"resumed_from": 40})
        yield TrainEvent("progress", "hybrid", 60, 80, {"cross_entropy": 1.5, "kl": 0.25} | rates)
        yield TrainEvent("stopped", "hybrid", 60, 80)

    monkeypatch.setattr("hybrid.training.recipe.load_recipe", lambda path: path)
    monkeypatch.setattr("hybrid.training.train.train", fake)
    return calls


def test_train_hands_its_options_on(trained: list[tuple[Any, ...]], run: Run) -> None:
    assert run("train", "r.toml").exit_code == 0
    assert run("train", "r.toml", "--stage", "a", "--stage", "b", "--stop-after", "9.5").exit_code == 0
    assert trained == [(Path("r.toml"), None, None), (Path("r.toml"), ("a", "b"), 9.5)]


@pytest.mark.usefixtures("trained")
def test_train_without_a_terminal_prints_plain_lines(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    module = import_module("hybrid.cli.train")  # the package's `train` is the command
    monkeypatch.setattr(module, "PLAIN_LINE_EVERY_S", 0.0)
    result = run("train", "r.toml")
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "llm  start  0/200  ",
        "llm  progress  100/200  cross-entropy 3.142  512,346 tokens/s  ETA 1:02:05",
        "llm  dev  200/200  cross-entropy 3.142  512,346 tokens/s  ETA 1:02:05  dev cross-entropy 2.500",
        "llm  done  200/200  cross-entropy 3.142  512,346 tokens/s  done  dev cross-entropy 2.500",
        "hybrid  start  40/80  ",
        "hybrid  progress  60/80  cross-entropy 1.500  KL 0.250  512,346 tokens/s  ETA 1:02:05",
        "hybrid  stopped  60/80  cross-entropy 1.500  KL 0.250  512,346 tokens/s  stopped",
    ]


@pytest.mark.usefixtures("trained")
def test_train_on_a_terminal_draws_a_bar_a_stage(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "160")
    result = run("train", "r.toml")
    assert result.stdout == ""
    assert "200/200" in result.stderr
    assert "512,346 tokens/s" in result.stderr
    assert "60/80" in result.stderr


@pytest.mark.usefixtures("trained")
def test_train_draws_in_the_first_of_several_processes_only(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert run("train", "r.toml").output == ""


def test_train_says_where_the_pair_is_and_what_shows_it(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    from hybrid.training.train import TrainEvent

    event = TrainEvent("bundle", "hybrid", 80, 80, {"folder": "my runs/bundle/mine"})
    monkeypatch.setattr("hybrid.training.recipe.load_recipe", lambda path: path)
    monkeypatch.setattr("hybrid.training.train.train", lambda *_: iter((event,)))
    said = run("train", "r.toml").stderr.splitlines()[-1]
    assert "The pair is in my runs/bundle/mine;" in said
    assert "`HYBRID_ZOO='my runs/bundle' hybrid app`" in said


def test_an_interrupted_training_says_what_the_next_goes_on_from(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    from hybrid.training.train import TrainEvent

    def interrupted(*_: object) -> Iterator[TrainEvent]:
        yield TrainEvent("start", "first", 0, 30, {})
        raise KeyboardInterrupt

    monkeypatch.setattr("hybrid.training.train.train", interrupted)
    for name in ("train.tsv", "train.jsonl", "dev.tsv"):
        (tmp_path / name).touch()
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(folder=tmp_path.as_posix()), "utf-8")
    result = run("train", str(recipe))
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-2:] == [
        "notice: No checkpoint was written before that; the same command begins anew.",
        "error: Interrupted.",
    ]
    (tmp_path / "out" / "first" / "checkpoint").mkdir(parents=True)
    (tmp_path / "out" / "first" / "checkpoint" / "position.json").touch()
    sentence = "notice: The last checkpoint, of stage 'first', is whole; the same command goes on."
    assert sentence in run("train", str(recipe)).stderr


def test_train_with_nothing_left_to_do(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr("hybrid.training.recipe.load_recipe", lambda path: path)
    monkeypatch.setattr("hybrid.training.train.train", lambda *_: iter(()))
    assert run("train", "r.toml").stderr == "notice: Every stage is finished already.\n"
