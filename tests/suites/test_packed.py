"""What comes out of a packed file is all that went in, or an error."""

import io
import os
import sys
from pathlib import Path

import pytest

from hybrid.errors import SuiteError
from hybrid.suites.files import damages, open_unpacked, read_examples

zstandard = pytest.importorskip("zstandard")


def packed(path: Path, *frames: bytes) -> Path:
    path.write_bytes(b"".join(frames))
    return path


def unpacked(path: Path) -> bytes:
    with open_unpacked(path) as stream:
        return stream.read()


def test_several_frames_are_one_stream(tmp_path: Path) -> None:
    first, second = os.urandom(3000), b"line\n" * 100_000
    pack = zstandard.ZstdCompressor().compress
    path = packed(tmp_path / "a.zst", pack(first), pack(b""), pack(second))
    assert unpacked(path) == first + second
    assert unpacked(packed(path)) == b""


@pytest.mark.parametrize("size", [5, 2_000, 200_000])
def test_a_cut_file_is_damaged(tmp_path: Path, size: int) -> None:
    frame = zstandard.ZstdCompressor().compress(os.urandom(size))
    path = tmp_path / "a.zst"
    for cut in (frame[: len(frame) // 2], frame[:-1], frame + frame[:-1]):
        packed(path, cut)
        with pytest.raises(damages(path)):
            unpacked(path)
    packed(path, b"not packed")
    with pytest.raises(damages(path)):
        unpacked(path)


def test_damage_is_said_in_a_sentence(tmp_path: Path) -> None:
    frame = zstandard.ZstdCompressor().compress(b"a\tb\tc\n" * 1000)
    path = packed(tmp_path / "a.tsv.zst", frame[:-2])
    with pytest.raises(SuiteError, match=r"a\.tsv\.zst cannot be unpacked: the file ends before .* again\.$"):
        list(read_examples(path))


def test_lines_and_reads_of_any_size_agree(tmp_path: Path) -> None:
    text = b"".join(os.urandom(20).hex().encode() + b"\n" for _ in range(5000))
    path = packed(tmp_path / "a.zst", zstandard.ZstdCompressor().compress(text))
    with open_unpacked(path) as stream:
        assert list(stream) == text.splitlines(keepends=True)
    with open_unpacked(path) as stream:
        assert b"".join(iter(lambda: stream.read(7), b"")) == text
    assert isinstance(stream, io.BufferedReader)
    assert stream.closed


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "a.tsv.zst", zstandard.ZstdCompressor().compress(b"a\tb\tc\n"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(SuiteError, match=r"needs the package zstandard: pip install 'hybrid-bench\[train\]'"):
        list(read_examples(path))
