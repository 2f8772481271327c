"""Engines in memory: each read once, a bounded number, all of them warm."""

import shutil
import threading
from pathlib import Path

import pytest

from hybrid.errors import EngineError
from hybrid.live import FairLock
from hybrid.live import model_cache as module
from hybrid.live.model_cache import EngineCache, EngineRequest
from hybrid.models.manifest import available_pairs
from hybrid.schema import CPU, System


@pytest.fixture
def zoo(tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pairs with the same weights."""
    for name in ("tiny", "wide", "third"):
        shutil.copytree(tiny_zoo / "tiny", tmp_path / "zoo" / name)
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """What was created: names of engines and their methods, in order."""
    seen: list[tuple[str, tuple[str, ...]]] = []
    make = module.create_engines

    def watched(name, order):
        engines = make(name, order)
        seen.append((name, order.methods))
        return engines

    monkeypatch.setattr(module, "create_engines", watched)
    return seen


def requested(*systems: str, pair: str = "tiny") -> EngineRequest:
    return EngineRequest(pair, available_pairs()[pair], CPU, tuple(map(System.parse, systems)))


def test_what_is_added_is_read_and_nothing_else(zoo, created):
    warmed: list[str] = []
    cache = EngineCache(lambda loaded: warmed.append(loaded.engine.method))
    assert cache.ready(requested("llm", "slm")) is None
    first = cache.load(requested("llm", "slm"), lambda _: None)
    more = cache.load(requested("llm", "slm", "hybrid"), lambda _: None)
    assert created == [("onnx", ("llm", "slm")), ("onnx", ("hybrid",))]
    assert warmed == ["llm", "slm", "hybrid"]
    assert [more.systems[s].engine for s in ("llm", "slm")] == [s.engine for s in first.systems.values()]
    again = cache.load(requested("hybrid", "slm"), lambda _: None)
    assert again.systems["slm"].engine is first.systems["slm"].engine
    assert len(created) == 2


def test_systems_without_an_engine_share_the_fastest_that_runs_them_all(zoo, created):
    cache = EngineCache(lambda _: None)
    loaded = cache.load(requested("llm", "lossless", "slm@torch"), lambda _: None)
    assert {system: runner.engine.name for system, runner in loaded.systems.items()} == {
        "llm": "onnx-fp32",
        "lossless": "onnx-fp32",
        "slm@torch": "torch",
    }
    assert list(loaded.systems) == ["llm", "lossless", "slm@torch"]
    (why,) = loaded.notes
    assert why.startswith("Not the engine onnx: ")
    assert "onnx-fp32 in float32, torch in float32, so that the times compare these, too" in loaded.conditions
    assert loaded.ran["slm@torch"] == "torch, float32"


def test_no_more_pairs_are_kept_than_there_is_room_for(zoo, created):
    cache = EngineCache(lambda _: None)
    for pair in ("tiny", "wide", "tiny", "third"):
        cache.load(requested("slm", pair=pair), lambda _: None)
    assert cache.held() == {"tiny": ("slm@onnx",), "third": ("slm@onnx",)}
    assert len(created) == 3
    assert cache.ready(requested("slm", pair="wide")) is None


def test_no_more_engines_are_kept_than_there_is_room_for(zoo, created, monkeypatch):
    monkeypatch.setattr(module, "MOST_ENGINES", 2)
    cache = EngineCache(lambda _: None)
    cache.load(requested("slm", "slm@torch"), lambda _: None)
    three = cache.load(requested("llm", "slm@torch"), lambda _: None)
    assert set(three.systems) == {"llm", "slm@torch"}
    assert sorted(cache.held()["tiny"]) == [
        "llm@onnx",
        "slm@torch",
    ]  # the one not used for longest is gone


def test_an_engine_that_cannot_is_named_and_spoils_nothing(zoo, created):
    cache = EngineCache(lambda _: None)
    cache.load(requested("slm"), lambda _: None)
    with pytest.raises(EngineError, match="ctranslate2 has no method 'hybrid'"):
        cache.load(requested("slm", "hybrid@ctranslate2"), lambda _: None)
    assert cache.ready(requested("slm")) is not None


def test_they_come_in_order_and_a_greedy_one_waits_like_all():
    turns, order = FairLock(), []
    places = {name: threading.Event() for name in ("batch", "first", "second")}  # in the queue, or running

    def asks_three_times() -> None:
        for n in range(3):
            with turns.held():
                places["batch"].set()
                if n == 0:
                    assert places["second"].wait(60)
                order.append(f"batch {n}")

    def asks_once(name: str) -> None:
        with turns.held(lambda _: places[name].set()):
            order.append(name)

    threads = {"batch": threading.Thread(target=asks_three_times)}
    threads |= {name: threading.Thread(target=asks_once, args=(name,)) for name in ("first", "second")}
    for name, thread in threads.items():
        thread.start()
        assert places[name].wait(60)
    for thread in threads.values():
        thread.join(60)
    assert order == ["batch 0", "first", "second", "batch 1", "batch 2"]
    assert not turns.taken


def test_who_gives_up_leaves_the_queue():
    turns = FairLock()

    def give_up(before: int) -> None:
        assert before == 1
        raise KeyboardInterrupt

    with turns.held():
        with pytest.raises(KeyboardInterrupt), turns.held(give_up):
            pytest.fail("it was not its turn")
        assert turns.taken
    with turns.held(lambda _: pytest.fail("nobody is before")):
        pass


def test_a_failure_ends_the_turn():
    turns = FairLock()
    with pytest.raises(ZeroDivisionError), turns.held():
        raise ZeroDivisionError
    assert not turns.taken
