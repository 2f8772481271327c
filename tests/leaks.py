"""What bytes give away of texts: n-grams of words, however the bytes write them."""

import html
import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

N = 5  # words; of a text of three or four all of them
_ESCAPE = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\[\"\\/bfnrt]")


def leaked(data: bytes, texts: Iterable[str]) -> set[tuple[str, ...]]:
    """Find the word n-grams of `texts` that are in the bytes, in an archive's files too."""
    grams = {gram for text in texts for gram in _grams(_words(text), N)}
    return {gram for view in _views(data) for gram in _found(view, grams)}


def content(folder: Path) -> bytes:
    """Give all that a folder holds, names included."""
    parts = [f"{path.relative_to(folder)}\n".encode() + _bytes(path) for path in sorted(folder.rglob("*"))]
    return b"\n\n".join(parts)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _views(data: bytes) -> Iterator[str]:
    """Read bytes as plain text, as JSON and as HTML write it, and what an archive holds."""
    text = data.decode("utf-8", "replace")
    yield text
    yield _ESCAPE.sub(lambda match: json.loads(f'"{match[0]}"'), text)
    yield html.unescape(text)
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name
                yield from _views(archive.read(name))


def _found(text: str, grams: set[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    words = _words(text)
    for size in {len(gram) for gram in grams}:
        yield from grams.intersection(zip(*(words[start:] for start in range(size)), strict=False))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _grams(words: list[str], n: int) -> Iterator[tuple[str, ...]]:
    if 2 < len(words) < n:
        yield tuple(words)
    for start in range(len(words) - n + 1):
        yield tuple(words[start : start + n])
