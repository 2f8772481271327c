"""Dataclasses to JSON and back, and from TOML: checked against their annotations.

msgspec reads, strictly: no text is taken for a number, no number for a truth
value. Names that a dataclass does not have are let pass, so that files of a
later version can be read. Whatever is wrong is one ValueError that names the
place: `Expected int, got str - at $.plan.threads`.
"""

import json
import re
import tomllib
from collections.abc import Hashable, Mapping
from dataclasses import fields
from functools import cache, lru_cache
from typing import Annotated, Any, NoReturn, TypeVar, cast

import msgspec

from hybrid.schema import Device, System

T = TypeVar("T")
LARGEST = 2**53  # of a count: more could be no count, and would fit no table
LONGEST_REASON = 300  # characters of what is wrong: it may quote what is in the file
_OWN_TEXT = (System, Device)
_BOUND = re.compile(r"(Expected (?!.*, got ).*?)( - at `\$(.*)`)")  # what is allowed, where
Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Microseconds = Annotated[float, msgspec.Meta(ge=0, le=1e15)]  # 30 years
Amount = Annotated[float, msgspec.Meta(ge=0, le=LARGEST)]  # of what is counted and summed


class Header(msgspec.Struct, frozen=True):
    """What a file says beside the fields of its dataclass: in which format it is written."""

    format: Any = None


def decode(kind: type[T], data: bytes, texts: bool = False) -> T:
    """Read JSON as a value of this type. Raises ValueError.

    texts: half a surrogate pair stays what it is, as in an answer that a model gave; elsewhere it is
    spelled out, \\ud800 or the like, so that whatever is read can be written as UTF-8.
    """
    try:
        return cast(T, _decoder(cast(Hashable, kind)).decode(data))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except OverflowError as error:
        raise ValueError("it has a number beyond all bounds") from error
    except msgspec.ValidationError as error:
        raise _plainly(error) from error
    except msgspec.DecodeError as error:
        if b"\\ud" in data.lower():  # perhaps half a surrogate pair, which msgspec does not read
            row = _loads(data)
            return convert(kind, row if texts else _spelled(row))
        raise ValueError(f"it is not JSON: {error}") from error


def convert(kind: type[T], row: object) -> T:
    """Make a value of this type of what json or tomllib have read. Raises ValueError, with the value."""
    try:
        return msgspec.convert(row, kind, dec_hook=_parse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except OverflowError as error:
        raise ValueError("it has a number beyond all bounds") from error
    except msgspec.ValidationError as error:
        raise _plainly(_BOUND.sub(lambda match: _with_given(match, row), str(error))) from error


def parse_toml(data: bytes) -> dict[str, object]:
    """Read TOML, with or without a byte order mark. Raises ValueError."""
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_keys(kind: type, row: object) -> None:
    """Raise ValueError for a name in `row` that this dataclass, or one inside, does not have."""
    from msgspec import inspect  # only for what people write themselves

    _check_keys(inspect.type_info(kind), row, "$")


def encode(value: object, indent: int | None = None) -> bytes:
    """Write one value as JSON and a line end. indent: for people. Raises ValueError for nan and infinity."""
    # json, not msgspec, which would write null for what is no number
    separators = (",", ":") if indent is None else None
    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators, allow_nan=False, default=plain
    )
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair: only JSON's own escapes can hold it
        return json.dumps(json.loads(text), indent=indent, separators=separators).encode() + b"\n"


def plain(value: object) -> dict[str, object]:
    """List the fields of a dataclass by name; encode() does so with those inside.

    Not msgspec.to_builtins(): of a dataclass that msgspec has read it leaves out
    what was not in the file and has a default.
    """
    if isinstance(value, msgspec.Struct):
        built: dict[str, object] = msgspec.to_builtins(value, enc_hook=str)
        return built
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}  # type: ignore[arg-type]


def restore(kind: type[T], values: Mapping[str, object]) -> T:
    """Make a frozen dataclass of all its fields at once; only for one without __post_init__."""
    instance = object.__new__(kind)
    instance.__dict__.update(values)
    return instance


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind, dec_hook=_parse)


def _parse(kind: type, value: object) -> object:
    """Read the types that are their own text. Raises ValueError."""
    if kind not in _OWN_TEXT:
        raise NotImplementedError(f"{kind} is no type of a stored field")
    if not isinstance(value, str):
        raise ValueError(f"{kind.__name__.lower()} is {value!r}, not a string")
    return parse_text(kind, value)


@lru_cache(maxsize=1024)  # of names in files from elsewhere there may be any number
def parse_text(kind: type[System | Device], text: str) -> object:
    """Read a value that is its own text. Raises ValueError."""
    return kind.parse(text)


def _plainly(error: Exception | str) -> ValueError:
    reason = str(error).replace("`", "")
    return ValueError(reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]} ...")


def _spelled(row: object) -> object:
    """Write half surrogate pairs as \\ud800 or the like, in all that json has read."""
    if isinstance(row, str):
        return row.encode("utf-8", "backslashreplace").decode()
    if isinstance(row, list):
        return [_spelled(item) for item in row]
    if isinstance(row, dict):
        return {_spelled(name): _spelled(item) for name, item in row.items()}
    return row


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _with_given(match: re.Match[str], row: object) -> str:
    """Add to msgspec's sentence about a bound the value that is beyond it."""
    allowed, place, path = match.groups()
    value: Any = row
    try:
        for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
            value = value[name] if name else value[int(index)]
    except (KeyError, IndexError, TypeError):  # a place that msgspec does not spell out
        return match[0]
    return f"{allowed}, got {repr(value)[:40]}{place}"


def _loads(data: bytes) -> object:
    try:
        return json.loads(data, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error


def _check_keys(info: object, row: object, place: str) -> None:
    from msgspec import inspect

    if isinstance(info, inspect.UnionType):
        for kind in info.types:
            _check_keys(kind, row, place)
    elif isinstance(info, inspect.VarTupleType) and isinstance(row, list):
        for index, item in enumerate(row):
            _check_keys(info.item_type, item, f"{place}[{index}]")
    elif isinstance(info, inspect.DataclassType) and isinstance(row, dict):
        known = {field.name: field.type for field in info.fields}
        for name, value in row.items():
            if name not in known:
                raise ValueError(f"{name} is not a key of {place}; available: {', '.join(sorted(known))}")
            _check_keys(known[name], value, f"{place}.{name}")
