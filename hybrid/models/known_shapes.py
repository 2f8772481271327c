"""Sizes of models that people know, as data: speed follows from them alone, not from weights.

shapes.csv holds what the published config.json of each model says: T5 (Raffel et
al. 2020), T5 v1.1 (Shazeer 2020), Flan-T5 (Chung et al. 2022), mT5 (Xue et al.
2021), BART (Lewis et al. 2020), OPUS-MT (Tiedemann and Thottingal 2020), T5Gemma
(Zhang et al. 2025), GPT-2 (Radford et al. 2019), Pythia (Biderman et al. 2023), Llama,
TinyLlama, SmolLM2, Qwen2.5, Qwen3 and Gemma 3 (2024 and 2025). Beside them stand the bundled
pair's two models, and any config.json that is named by its path. Nothing here imports torch.
"""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from hybrid.errors import PairError
from hybrid.models.manifest import available_pairs, checked, find_pair, layers_read
from hybrid.models.pair_format import ROLES, WHOLE
from hybrid.models.shapes import Shape, shape_of_config

BUNDLED: Mapping[str, str] = {"bundled-llm": "llm", "bundled-slm": "slm"}  # of the first pair that is here
CONFIG = "config.json"
_CHECKPOINT = re.compile(r"(checkpoint|step|epoch)[-_]?\d+", re.IGNORECASE)  # as trainers name folders
_READING = re.compile(r"(?P<name>.+)@(?P<layers>\d{1,4}(\+\d{1,4})*|whole)")


@cache
def published_shapes() -> Mapping[str, Shape]:
    """Return the shapes of shapes.csv, by name."""
    text = (files("hybrid.models") / "shapes.csv").read_text("utf-8")
    heading, *rows = ([cell.strip() for cell in row] for row in csv.reader(text.splitlines()))
    shapes: dict[str, Shape] = {}
    for row in rows:  # an encoder of its own is that of a row above
        shape = _from_cells(dict(zip(heading, row, strict=True)), shapes)
        shapes[shape.name] = shape
    return shapes


def own_names() -> tuple[str, ...]:
    """Name the shapes of the pairs here: BUNDLED of the first one, PAIR/llm and PAIR/slm of others."""
    try:
        first, pairs = find_pair(None)[0].name, available_pairs()
    except PairError:  # which find_shape tells of BUNDLED
        return tuple(BUNDLED)
    return *BUNDLED, *(f"{pair}/{role}" for pair in pairs if pair != first for role in ROLES)


def all_shapes() -> dict[str, Shape]:
    """Return the published shapes and those of the pairs that are here, by name, if of known kinds."""
    shapes = dict(published_shapes()) | {name: find_shape(name) for name in BUNDLED}
    for name in own_names()[len(BUNDLED) :]:
        with suppress(PairError):
            shapes[name] = find_shape(name)
    return shapes


def find_shape(name: str) -> Shape:
    """Return the shape of this name: published, of a pair that is here, or a path that ends in config.json.

    NAME@20 is one of which a hybrid reads layer 20, NAME@10+20 two of its layers, NAME@whole all; without,
    it reads what the pair's own does, else all. Raises PairError: unknown, with the nearest names, not
    readable, or without such a layer.
    """
    if match := _READING.fullmatch(name):
        shape = find_shape(match["name"])
        layers = () if match["layers"] == WHOLE else tuple(map(int, match["layers"].split("+")))
        with _as_pair_error(name):
            return replace(shape, name=f"{shape.name}@{match['layers']}", read_layers=layers)
    if name in BUNDLED:
        return _of_pair(None, BUNDLED[name], name)
    if name in published_shapes():
        return published_shapes()[name]
    if name.endswith(CONFIG):
        return _of_file(Path(name))
    known = [*published_shapes(), *own_names()]
    if name in known:
        pair, _, role = name.rpartition("/")
        return _of_pair(pair, role, name)
    near = get_close_matches(name.lower().rpartition("/")[2], known, n=3)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise PairError(
        f"There is no shape {name!r}.{meant} `hybrid latency --shapes` lists them all; "
        "a path to a config.json works, too."
    )


def _from_cells(cells: Mapping[str, str], above: Mapping[str, Shape]) -> Shape:
    """One row of shapes.csv. above: the rows before it."""
    numbers = [field.name for field in fields(Shape) if field.type is int]
    values: dict[str, Any] = dict(cells) | {name: int(cells[name]) for name in numbers}
    values["tied_head"] = {"yes": True, "no": False}[cells["tied_head"]]
    for name in ("positions", "key_value_heads"):
        values[name] = int(cells[name]) if cells[name] else None
    values["encoder"] = above[cells["encoder"]] if cells["encoder"] else None
    return Shape(**values)


def _of_pair(pair: str | None, role: str, name: str) -> Shape:
    folder, manifest = find_pair(pair)
    path = checked(folder, f"{role}/{CONFIG}", manifest)
    shape = _read(path, name, f"{folder.name}/{role}")
    with _as_pair_error(str(folder)):
        return replace(shape, read_layers=layers_read(folder, manifest)) if role == "llm" else shape


def _of_file(path: Path) -> Shape:
    """Return the shape in a config.json, called by its folder and its sizes: many folders bear one name."""
    parent, folder = path.absolute().parent, path.absolute().parent.name
    if _CHECKPOINT.fullmatch(folder):  # one of many of the same name: the model's is one level up
        folder = f"{parent.parent.name}-{folder}"
    name = re.sub(r"[^0-9A-Za-z_.-]+", "-", folder).strip("-") or "model"
    shape = _read(path, name, f"{name}/{CONFIG}")  # no path: where it lay is nobody's business
    return replace(shape, name=f"{name}-{shape.fingerprint}")


def _read(path: Path, name: str, source: str) -> Shape:
    with _as_pair_error(str(path)):
        return shape_of_config(name, json.loads(path.read_text("utf-8-sig")), source)


@contextmanager
def _as_pair_error(what: str) -> Iterator[None]:
    """Turn what a damaged or impossible description raises into a PairError."""
    try:
        yield
        return
    except OSError as error:
        raise PairError(f"{what} cannot be read: {error.strerror}.") from error
    except KeyError as error:
        reason = f"{error.args[0]} is missing"
    except (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise PairError(f"{what} does not describe a model that can be built: {reason}.")
