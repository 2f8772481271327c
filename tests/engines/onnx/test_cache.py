"""The cache gives back what was built, notices damage, and is never in the way."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from hybrid.engines import onnx_engine
from hybrid.engines.config import Order
from hybrid.engines.onnx import cache
from hybrid.engines.onnx.cache import cached
from hybrid.engines.onnx.sessions import Part
from hybrid.models.source import ZooSource
from hybrid.schema import METHODS

HASH = "ab" * 32


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "own"))
    return tmp_path / "own" / "onnx"


@pytest.fixture
def part() -> Part:
    weights = {
        "odd": np.arange(5, dtype=np.uint8),
        "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
        "row": np.array([-1, 2], np.int8),
    }
    return Part(b"a model", weights, {"start": np.array([7], np.int64)})


def equal(one: Part, other: Part) -> bool:
    def all_equal(a, b):
        pairs = [(a[name], b[name]) for name in a.keys() & b.keys()]
        return a.keys() == b.keys() and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)

    same = all_equal(one.weights, other.weights) and all_equal(one.tables, other.tables)
    return one.model == other.model and same


def refuse() -> Part:
    raise AssertionError("it was built again")


def test_a_part_is_built_once(folder, part):
    assert cached("decoder", HASH, lambda: part, pytest.fail) is part
    assert equal(cached("decoder", HASH, refuse, pytest.fail), part)
    (file,) = folder.iterdir()
    assert file.name == f"decoder-{HASH}-{cache.FORMAT}.safetensors"
    with safe_open(file, "np") as stored:  # what it says it is
        assert np.array_equal(stored.get_tensor("weight/matrix"), part.weights["matrix"])
        assert bytes(stored.get_tensor("model")) == b"a model"


def test_other_weights_other_names_and_other_formats_are_other_parts(folder, part, monkeypatch):
    def other() -> Part:
        return Part(b"another", {}, {})

    cached("decoder", HASH, lambda: part, pytest.fail)
    assert cached("decoder", "cd" * 32, other, pytest.fail).model == b"another"
    assert cached("encoder", HASH, other, pytest.fail).model == b"another"
    monkeypatch.setattr(cache, "FORMAT", cache.FORMAT + 1)
    assert cached("decoder", HASH, other, pytest.fail).model == b"another"
    assert len(list(folder.iterdir())) == 4


def test_weights_without_a_hash_are_not_kept(folder, part):
    assert cached("decoder", None, lambda: part, pytest.fail) is part
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
def test_a_damaged_file_is_noticed_and_replaced(folder, part, how):
    cached("decoder", HASH, lambda: part, pytest.fail)
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    file.write_bytes(DAMAGE[how](whole))
    assert file.read_bytes() != whole
    assert cached("decoder", HASH, lambda: part, pytest.fail) is part
    assert file.read_bytes() == whole
    assert equal(cached("decoder", HASH, refuse, pytest.fail), part)


def test_a_folder_that_cannot_be_written_is_said_and_done_without(tmp_path, part, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "file"))
    said = []
    assert cached("decoder", HASH, lambda: part, said.append) is part
    assert len(said) == 1
    assert str(tmp_path / "file") in said[0]


def test_nothing_is_left_of_what_could_not_be_finished(folder, part, monkeypatch):
    said = []

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert cached("decoder", HASH, lambda: part, said.append) is part
    assert list(folder.iterdir()) == []
    assert said == [f"Not kept for next time, since {folder} cannot be written: No space left on device"]


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_second_start_needs_no_weights_and_answers_the_same(
    folder, tiny_zoo, texts, answer, monkeypatch, dtype
):
    said = []
    order = Order(ZooSource(root=tiny_zoo), tuple(METHODS), dtype=dtype, progress=said.append)
    first = onnx_engine.make(order)
    in_8_bits = 2 if dtype == "float32" else 0  # of the lossless methods, whose drafts need not be exact
    assert len(said) == len(set(said)) == len(list(folder.iterdir())) == 9 + in_8_bits
    assert all(sentence.startswith("Building the") for sentence in said)
    monkeypatch.setattr(ZooSource, "bundle", lambda *_: pytest.fail("the weights were read"))
    second = onnx_engine.make(
        Order(ZooSource(root=tiny_zoo), tuple(METHODS), dtype=dtype, progress=pytest.fail)
    )
    for method in METHODS:
        for text in texts[50::60]:
            assert answer(second[method], text).token_ids == answer(first[method], text).token_ids


def test_precisions_are_kept_apart(folder, tiny_zoo):
    source = ZooSource(root=tiny_zoo)
    onnx_engine.make(Order(source, ("slm",), dtype="int8"))
    onnx_engine.make(Order(source, ("slm",), dtype="float32"))  # another decoder
    assert len(list(folder.iterdir())) == 4
    onnx_engine.make(Order(source, ("slm",), dtype="int8", options={"int8_encoder": "on"}))
    assert len(list(folder.iterdir())) == 6
