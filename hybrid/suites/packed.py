"""Packed files, .xz and .zst: what comes out is all that went in, or an error."""

import io
import lzma
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from hybrid.errors import SuiteError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from zstandard import ZstdDecompressionObj, ZstdDecompressor


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file to read its unpacked bytes; reading raises `damages()`.

    Raises OSError, and SuiteError without the package that unpacks.
    """
    return _OPENERS.get(path.suffix.lower(), _open_plain)(path)


def packings() -> tuple[str, ...]:
    """List the suffixes of packed files."""
    return tuple(_OPENERS)


def damages(path: Path) -> tuple[type[Exception], ...]:
    """Name what a damaged packed file raises while it is read."""
    if path.suffix.lower() != ".zst":
        return EOFError, lzma.LZMAError
    try:
        import zstandard
    except ImportError:  # then nothing of it was read
        return (EOFError,)
    return EOFError, zstandard.ZstdError


def _open_plain(path: Path) -> IO[bytes]:
    return path.open("rb")


def _open_xz(path: Path) -> IO[bytes]:
    return lzma.open(path, "rb")


def _open_zst(path: Path) -> IO[bytes]:
    try:
        import zstandard
    except ImportError as error:
        raise SuiteError(
            f"{path.name} needs the package zstandard: pip install 'hybrid-bench[train]'."
        ) from error
    return io.BufferedReader(_ZstdFrames(path.open("rb"), zstandard.ZstdDecompressor()))


_OPENERS: Mapping[str, Callable[[Path], IO[bytes]]] = {".xz": _open_xz, ".zst": _open_zst}


class _ZstdFrames(io.RawIOBase):
    """All frames of a .zst file as one stream; a file that ends within one raises EOFError.

    zstandard's own stream_reader takes a cut file for a whole one, and would
    serve a part of a suite as if it were all of it.
    """

    # A block header of 4 bytes can stand for 128 KiB, so this bounds one step at 8 MiB.
    _CHUNK_BYTES = 256

    def __init__(self, file: BinaryIO, unpacker: "ZstdDecompressor") -> None:
        self._file, self._unpacker = file, unpacker
        self._parts = self._unpack()
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        target = memoryview(buffer)
        while not self._ready:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._ready = memoryview(part)
        size = min(len(target), len(self._ready))
        target[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()

    def _unpack(self) -> Iterator[bytes]:
        frame: ZstdDecompressionObj | None = None
        while packed := self._file.read(self._CHUNK_BYTES):
            while packed:
                frame = frame or self._unpacker.decompressobj()
                yield frame.decompress(packed)
                packed = frame.unused_data if frame.eof else b""
                frame = None if frame.eof else frame
        if frame is not None:
            raise EOFError("the file ends before its last frame does")
