"""The cache gives back what was built, notices damage, and is never in the way."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from hybrid.engines.contract import EngineConfig
from hybrid.engines.onnx import cache
from hybrid.engines.onnx import engine as onnx_engine
from hybrid.engines.onnx.cache import load_or_build
from hybrid.engines.onnx.runtime import BuiltGraph
from hybrid.models.sources import ZooSource
from hybrid.schema import METHODS

HASH = "ab" * 32


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "own"))
    return tmp_path / "own" / "onnx"


@pytest.fixture
def graph() -> BuiltGraph:
    weights = {
        "odd": np.arange(5, dtype=np.uint8),
        "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
        "row": np.array([-1, 2], np.int8),
    }
    return BuiltGraph(b"a model", weights, {"start": np.array([7], np.int64)})


def equal(one: BuiltGraph, other: BuiltGraph) -> bool:
    def all_equal(a, b):
        pairs = [(a[name], b[name]) for name in a.keys() & b.keys()]
        return a.keys() == b.keys() and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)

    same = all_equal(one.weights, other.weights) and all_equal(one.tables, other.tables)
    return one.model == other.model and same


def refuse() -> BuiltGraph:
    raise AssertionError("it was built again")


def test_a_graph_is_built_once(folder, graph):
    assert load_or_build("decoder", HASH, lambda: graph, pytest.fail) is graph
    assert equal(load_or_build("decoder", HASH, refuse, pytest.fail), graph)
    (file,) = folder.iterdir()
    assert file.name == f"decoder-{HASH}-{cache.FORMAT}.safetensors"
    with safe_open(file, "np") as stored:  # what it says it is
        assert np.array_equal(stored.get_tensor("weight/matrix"), graph.weights["matrix"])
        assert bytes(stored.get_tensor("model")) == b"a model"


def test_other_weights_other_names_and_other_formats_are_other_graphs(folder, graph, monkeypatch):
    def other() -> BuiltGraph:
        return BuiltGraph(b"another", {}, {})

    load_or_build("decoder", HASH, lambda: graph, pytest.fail)
    assert load_or_build("decoder", "cd" * 32, other, pytest.fail).model == b"another"
    assert load_or_build("encoder", HASH, other, pytest.fail).model == b"another"
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert load_or_build("decoder", HASH, other, pytest.fail).model == b"another"
    assert len(list(folder.iterdir())) == 4


def test_weights_without_a_hash_are_not_kept(folder, graph):
    assert load_or_build("decoder", None, lambda: graph, pytest.fail) is graph
    assert not folder.exists()


def _swap(data: bytes) -> bytes:
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return data.replace(b'"sha256": "', b'"sha256": "00', 1) if header else data


DAMAGE = {
    "a flipped bit": lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    "cut in the numbers": lambda data: data[:-4],
    "cut in the header": lambda data: data[:40],
    "cut to nothing": lambda _: b"",
    "zeros": lambda data: bytes(len(data)),
    "another kind of file": lambda _: b"PK\x03\x04" + b"x" * 300,
    "a header that is no object": lambda _: (2).to_bytes(8, "little") + b"[]",
    "another hash": _swap,
    "another shape": lambda data: data.replace(b"[3, 4]", b"[4, 3]", 1),
    "another name": lambda data: data.replace(b"weight/row", b"weight/raw", 1),
    "an unknown type": lambda data: data.replace(b'"U8"', b'"X8"'),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_noticed_and_replaced(folder, graph, how):
    load_or_build("decoder", HASH, lambda: graph, pytest.fail)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[how](whole))
    assert file.read_bytes() != whole
    assert load_or_build("decoder", HASH, lambda: graph, pytest.fail) is graph
    assert file.read_bytes() == whole
    assert equal(load_or_build("decoder", HASH, refuse, pytest.fail), graph)


def test_a_folder_that_cannot_be_written_is_said_and_done_without(tmp_path, graph, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "file"))
    events = []
    assert load_or_build("decoder", HASH, lambda: graph, events.append) is graph
    (event,) = events
    assert str(tmp_path / "file") in event.sentence


def test_nothing_is_left_of_what_could_not_be_finished(folder, graph, monkeypatch):
    events = []

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert load_or_build("decoder", HASH, lambda: graph, events.append) is graph
    assert list(folder.iterdir()) == []
    (event,) = events
    assert str(folder) in event.sentence
    assert "No space left on device" in event.sentence


def test_what_killed_processes_left_is_cleared(folder, graph):
    half = folder / f".decoder-{HASH}-{cache.FORMAT}.safetensors.0123abcd.new"
    folder.mkdir(parents=True)
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    load_or_build("decoder", HASH, lambda: graph, pytest.fail)
    assert half not in folder.iterdir()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_second_start_needs_no_weights_and_answers_the_same(
    folder, tiny_zoo, texts, answer, monkeypatch, dtype
):
    events = []
    config = EngineConfig(ZooSource(root=tiny_zoo), tuple(METHODS), dtype=dtype, observer=events.append)
    first = onnx_engine.create_engines(config)
    in_8_bits = 2 if dtype == "float32" else 0  # of the lossless methods, whose drafts need not be exact
    assert len(events) == len(set(events)) == len(list(folder.iterdir())) == 9 + in_8_bits
    monkeypatch.setattr(ZooSource, "bundle", lambda *_: pytest.fail("the weights were read"))
    second = onnx_engine.create_engines(
        EngineConfig(ZooSource(root=tiny_zoo), tuple(METHODS), dtype=dtype, observer=pytest.fail)
    )
    for method in METHODS:
        for text in texts[50::60]:
            assert answer(second[method], text).token_ids == answer(first[method], text).token_ids


def test_precisions_are_kept_apart(folder, tiny_zoo):
    source = ZooSource(root=tiny_zoo)
    onnx_engine.create_engines(EngineConfig(source, ("slm",), dtype="int8"))
    onnx_engine.create_engines(EngineConfig(source, ("slm",), dtype="float32"))  # another decoder
    assert len(list(folder.iterdir())) == 4
    onnx_engine.create_engines(EngineConfig(source, ("slm",), dtype="int8", options={"int8_encoder": "on"}))
    assert len(list(folder.iterdir())) == 6
