"""Dataclasses from JSON, checked against their annotations."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from hybrid.schema import Device, System

T = TypeVar("T")


def build(kind: type[T], row: Mapping[str, object]) -> T:
    """The dataclass `kind` from a JSON object; names that it does not have are let pass.

    Raises ValueError naming the field that is missing or of another type.
    """
    return cast(T, _build_dataclass(kind, row, ""))


@cache
def _hints(kind: type) -> dict[str, object]:
    return dict(get_type_hints(kind))


def _build(kind: object, value: object, where: str) -> object:
    """`value` from JSON as the annotated type `kind`, dataclasses inside included."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return _build_dataclass(kind, value, where)
    if origin in (Union, types.UnionType):  # in the schema always `X | None`
        return None if value is None else _build(inner[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_build(inner[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Literal and value in inner:
        return value
    if isinstance(origin, type) and issubclass(origin, Mapping) and isinstance(value, dict):
        return {_build(inner[0], k, where): _build(inner[1], v, f"{where}.{k}") for k, v in value.items()}
    if kind in (System, Device) and isinstance(value, str):
        return kind.parse(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    wanted = getattr(kind, "__name__", str(kind))
    raise ValueError(f"{where or 'it'} is {repr(value)[:60]}, not {wanted}")


def _build_dataclass(kind: type, row: Mapping[str, object], where: str) -> object:
    found: dict[str, object] = {}
    for field in fields(kind):
        path = f"{where}.{field.name}".lstrip(".")
        if field.name in row:
            found[field.name] = _build(_hints(kind)[field.name], row[field.name], path)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{path} is missing")
    return cast(object, kind(**found))
