"""Stored files as a bad disk or a hostile hand leaves them: a value that does not belong, another byte."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from hybrid.store.checks import seal

Place = tuple[str | int, ...]

DEEP = "[" * 60 + "]" * 60
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 0.5, -1e300, 1e308, 2**63, 10**400, float("nan"), float("inf"),
    "", "x", "\ud800", "\x1b[2J\u202e<script>", "x" * 20_000, "0001-01-01T00:00:00", "llm@\ud800",
    [], {}, [[]], [None], ["llm", "llm"], [f"llm@e{n}" for n in range(30_000)], [0] * 5000, [1e300] * 10,
    {"a": {"b": -1}}, {"\ud800": "\ud800"}, json.loads(DEEP),
)  # fmt: skip
JUNK = (
    b"",
    b"\n",
    b"{}",
    b"[]",
    b"\xff\xfe",
    b"\0" * 50,
    b"[" * 100_000,
    b'{"a":' * 2000,
    b"1" * 5000,
    b"NaN",
)


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where values stand in what JSON holds."""
    items: Sequence[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value[:3]))  # the others are like them
    for name, item in items:
        yield (*place, name)
        yield from places(item, (*place, name))


def changed(data: bytes, place: Place, value: Any, sealed: bool, indented: bool) -> bytes:
    """JSON with another value at a place; `...` removes it. sealed: with a checksum that fits."""
    row = json.loads(data)
    inner = row
    for part in place[:-1]:
        inner = inner[part]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    row.pop("crc32", None)
    text = json.dumps(
        row, indent=1 if indented else None, separators=None if indented else (",", ":")
    ).encode()
    return seal(text, indented) if sealed else text + b"\n"


@st.composite
def mutations(draw: st.DrawFn, data: bytes, lines: bool) -> bytes:
    """The bytes of a stored file with one thing wrong. lines: of an object each, else the whole is one."""
    how = draw(st.sampled_from(("value", "value", "value", "missing", "flip", "cut", "junk", "twice")))
    if how == "flip":
        place, bit = draw(st.integers(0, len(data) - 1)), draw(st.integers(0, 7))
        return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
    if how == "cut":
        return data[: draw(st.integers(0, len(data)))]
    parts = data.splitlines(keepends=True) if lines else [data]
    number = draw(st.integers(0, len(parts) - 1))
    if how == "junk":
        parts[number] = draw(st.sampled_from(JUNK)) + b"\n"
    elif how == "twice":
        parts.insert(number, parts[number])
    else:
        place = draw(st.sampled_from(list(places(json.loads(parts[number])))))
        value = ... if how == "missing" else draw(st.sampled_from(VALUES))
        parts[number] = changed(parts[number], place, value, draw(st.booleans()), not lines)
    return b"".join(parts)
