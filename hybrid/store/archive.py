"""A .zip from elsewhere, read with care: a few files of known names in one folder, and no more than fits.

Nothing is unpacked here and no name in it is used as a path: an archive is three
streams of bytes. What a hostile one may try is refused before it is read: names
that lead elsewhere, links, encryption, the same name twice, sizes or ratios of a
bomb (David Fifield, "A better zip bomb", 2019), a directory of millions of files.
"""

import os
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Protocol

from hybrid.errors import StoreError

LARGEST_RUN = 500 * 2**20  # bytes, unpacked
LARGEST_RATIO = 200  # of unpacked to packed; answers shrink to a tenth or so
SMALL = 1 << 20  # bytes that may have any ratio
_AT_ONCE = 1 << 20  # most bytes that zipfile may want in one piece, of the list of files too
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
# What the Finder and the Explorer put into an archive beside what they were given, each with its folder.
_LEFT_BEHIND = re.compile(
    r"__MACOSX/.*|([^/\\:]+/)?(\._[^/\\]*|\.DS_Store|desktop\.ini|Thumbs\.db)", re.IGNORECASE | re.DOTALL
)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int = -1, /) -> bytes: ...


@contextmanager
def opened_archive(
    stream: IO[bytes], is_part: Callable[[str], bool], passed_over: Sequence[str] = ()
) -> Iterator[tuple[str, Mapping[str, Readable]]]:
    """Give the folder that an archive holds, "" for none, and its files by name, each to be read once.

    is_part: whether it may hold a file of this name. passed_over: that it may hold too, and nobody reads;
    so is what macOS and Windows leave behind.
    Raises StoreError for an archive that is damaged, or holds anything else.
    """
    try:
        archive = zipfile.ZipFile(_Stream(stream))
    except _DAMAGE as error:
        raise StoreError(f"The archive cannot be read as a .zip: {_reason(error)}.") from error
    with archive:
        folders, members = set(), {}
        for info in archive.infolist():
            if _LEFT_BEHIND.fullmatch(info.orig_filename):
                continue
            folder, name = _place(info)
            folders.add(folder)
            _check_kind(info, name)
            if name in members:
                raise _refused(f"it holds {name!r} twice")
            if name and not is_part(name) and name not in passed_over:
                raise _refused(f"it holds {_shown(info)}, which is no part of a run")
            members[name] = info
        if len(folders) > 1:
            raise _refused("its files lie in more than one folder; give one run at a time")
        _check_sizes(list(members.values()))
        files = {name: _Member(archive, info) for name, info in members.items() if is_part(name)}
        yield next(iter(folders), ""), files


@dataclass
class _Stream:
    """The archive's bytes for zipfile, which reads its list of files in one piece, however large it is."""

    stream: IO[bytes]

    def read(self, size: int = -1) -> bytes:
        piece = self.stream.read(size if 0 <= size <= _AT_ONCE else _AT_ONCE + 1)
        if len(piece) > _AT_ONCE:
            raise ValueError("it lists more files than a run has")
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.stream.seek(offset, whence)

    def tell(self) -> int:
        return self.stream.tell()

    def seekable(self) -> bool:
        return True


class _Member:
    """One file of an archive."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive, self._info = archive, info
        self._file: IO[bytes] | None = None

    def read(self, size: int = -1, /) -> bytes:
        try:
            self._file = self._file or self._archive.open(self._info)
            return self._file.read(size)
        except _DAMAGE as error:
            raise _refused(f"{_shown(self._info)} is damaged: {_reason(error)}") from error


def _place(info: zipfile.ZipInfo) -> tuple[str, str]:
    """Folder and name of an entry; the name of the folder's own entry is empty."""
    path = info.orig_filename
    folder, slash, name = path.rpartition("/")
    odd = any(sign in path for sign in ("\\", ":", "\0")) or folder in (".", "..") or (slash and not folder)
    if odd or "/" in folder or info.filename != path:
        raise _refused(f"it holds {_shown(info)}, which is neither in one folder nor in none")
    return folder, name


def _check_kind(info: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 when it was not packed by a Unix
    if kind not in (0, stat.S_IFDIR if not name else stat.S_IFREG):
        raise _refused(f"{_shown(info)} is a link or the like")
    if info.flag_bits & _ENCRYPTED:
        raise _refused(f"{_shown(info)} is encrypted")
    if info.compress_type not in _METHODS:
        raise _refused(f"{_shown(info)} is compressed in another way than deflate")


def _check_sizes(infos: Sequence[zipfile.ZipInfo]) -> None:
    """By what the entries say: zipfile gives no more bytes of one than that."""
    if (size := sum(info.file_size for info in infos)) > LARGEST_RUN:
        raise _refused(f"it has {size:,} bytes unpacked and {LARGEST_RUN:,} are the most")
    for info in infos:
        if info.file_size > max(SMALL, LARGEST_RATIO * info.compress_size):
            raise _refused(f"{_shown(info)} is packed more tightly than answers can be")


def _refused(why: str) -> StoreError:
    return StoreError(f"The archive is not imported: {why}.")


def _shown(info: zipfile.ZipInfo) -> str:
    return ascii(info.orig_filename[:100])


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")
