"""Downloads that are cut, killed or damaged: they go on where they stopped; no half is taken for whole."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from hybrid.models.references import load_model, resolve
from hybrid.schema import Event
from tests.models.references.conftest import NAME, Make, half_written, refusal, tiny_llama, weights
from tests.models.references.fake_hub import FakeHub


def test_a_connection_that_is_cut_goes_on_where_it_was(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    hub.cut = [("model.safetensors", 100_000)]
    load_model(resolve(NAME))
    ranges = [headers["range"] for _, path, headers in hub.requests if "range" in headers]
    assert len(ranges) == 1
    assert int(ranges[0].removeprefix("bytes=").rstrip("-")) >= 50_000
    assert not half_written(cache)


def test_a_hub_that_goes_away_leaves_whole_files(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch, save: Make
) -> None:
    """What is complete stays, and the next time begins with what is missing."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    folder = save(tiny_llama(), "large", max_shard_size="100KB")
    hub.models["someone/large"] = folder
    largest = max(folder.glob("*.safetensors"), key=lambda path: path.stat().st_size).name
    hub.cut = [(largest, 0)] * 7
    message = refusal("someone/large")
    assert message.startswith("hub:someone/large was not fetched whole")
    assert message.endswith("ask again: it goes on where it stopped.")
    hub.cut.clear()
    events: list[Event] = []
    before = weights(hub)
    resolve("someone/large", events.append)
    assert "of its" in events[0].sentence
    assert [path.rpartition("/")[2] for path in weights(hub)[len(before) :]] == [largest]


FETCH = """
import sys, time
from huggingface_hub import constants
constants.DOWNLOAD_CHUNK_SIZE = 4096
from hybrid.models.references import resolve
resolve(sys.argv[1])
"""


def half_size(cache: Path) -> int:
    """Bytes of halves; one that has become whole, or was removed, while it is looked at has none."""
    total = 0
    for path in half_written(cache):
        with suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def killed(hub: FakeHub, cache: Path) -> Path:
    """Kill a process that fetches, in the middle of the weights; gives the half that is left."""
    hub.pause_s = 0.02
    environment = os.environ | {"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}
    with subprocess.Popen([sys.executable, "-c", FETCH, f"hub:{NAME}"], env=environment) as process:
        deadline = time.monotonic() + 60
        while half_size(cache) < 60_000:
            assert process.poll() is None, "it has ended by itself"
            assert time.monotonic() < deadline, "nothing came"
            time.sleep(0.02)
        process.kill()
    hub.pause_s = 0.0
    (half,) = half_written(cache)
    return half


def test_a_killed_download_goes_on_where_it_stopped(hub: FakeHub, cache: Path, llama: Path) -> None:
    half = killed(hub, cache)
    come, whole = half.stat().st_size, (llama / "model.safetensors").stat().st_size
    assert 60_000 <= come < whole
    assert not list(cache.rglob("model.safetensors"))  # a half is no file of the model
    events: list[Event] = []
    before = len(hub.requests)
    checkpoint = resolve(NAME, events.append)
    ranges = [headers.get("range") for _, path, headers in hub.requests[before:] if "safetensors" in path]
    assert [value for value in ranges if value] == [f"bytes={come}-"]
    assert not half_written(cache)
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert torch.equal(load_model(checkpoint)(ids).logits, tiny_llama()(ids).logits)


@pytest.mark.parametrize("damage", ["other bytes", "too long", "whole"])
def test_a_half_that_is_none_is_found_out(hub: FakeHub, cache: Path, llama: Path, damage: str) -> None:
    weights_file = llama / "model.safetensors"
    data = weights_file.read_bytes()
    blobs = cache / "models--someone--tiny-llama" / "blobs"
    blobs.mkdir(parents=True)
    half = {"other bytes": b"x" * 1000, "too long": data + b"x", "whole": data}[damage]
    (blobs / f"{hashlib.sha256(data).hexdigest()}.half.incomplete").write_bytes(half)
    if damage == "other bytes":
        assert "model.safetensors of hub:someone/tiny-llama did not come as the Hub states it" in refusal()
        assert not list(cache.rglob("model.safetensors"))
    load_model(resolve(NAME))
    assert not half_written(cache)
    assert len(weights(hub)) == {"other bytes": 2, "too long": 1, "whole": 0}[damage]


def test_halves_of_killed_downloads_are_removed(hub: FakeHub, cache: Path) -> None:
    blobs = cache / "models--someone--tiny-llama" / "blobs"
    blobs.mkdir(parents=True)
    for name, age_s in (("old", 7200), ("new", 0), ("old.half", 7200), ("older.half", 8 * 24 * 3600)):
        (blobs / f"{name}.incomplete").write_bytes(b"half")
        os.utime(blobs / f"{name}.incomplete", (time.time() - age_s,) * 2)
    resolve(NAME)
    assert sorted(path.name for path in half_written(cache)) == ["new.incomplete", "old.half.incomplete"]


def test_a_disk_that_fills_up(hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import file_download

    get = file_download.http_get

    def fill(url: str, temp_file: Any, **how: Any) -> None:
        if "safetensors" in url:
            temp_file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        get(url, temp_file, **how)

    monkeypatch.setattr(file_download, "http_get", fill)
    assert refusal().startswith(f"The disk is full: hub:{NAME} was not fetched whole; make room")
    assert not half_written(cache)


def test_other_bytes_than_the_hub_states(hub: FakeHub, cache: Path) -> None:
    hub.wrong.add("model.safetensors")
    assert "model.safetensors of hub:someone/tiny-llama did not come as the Hub states it" in refusal()
    assert not list(cache.rglob("model.safetensors"))
    hub.wrong.clear()
    load_model(resolve(NAME))
