"""What a folder of an output was made with, so that an edited recipe never goes on from it unnoticed.

settings.json is the part of a recipe that the prepared data, or a stage's
weights, follow from: for a stage also what the stages say that it builds on.
How often is logged, and where to, is no part of it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hybrid.errors import RecipeError
from hybrid.models.manifest import file_sha256
from hybrid.models.pair_format import ROLES, WHOLE, Role
from hybrid.store.files import atomic_write
from hybrid.store.typed_json import encode
from hybrid.training.recipe import LINKS, PRETRAINED, Recipe, Stage, prepared

SETTINGS = "settings.json"
NAMED = 3  # differences in a sentence
LAYERS = re.compile(r"(?P<owner>hybrid|stages)(\.[^\[]+)?\.layer(?P<index>(\[\d+\])?)")  # places, see _flat


def check_unchanged(recipe: Recipe) -> None:
    """Raise RecipeError, naming what has changed, when the recipe's output was made with another one."""
    if prepared(recipe).is_file():
        _check(recipe, prepared(recipe).parent, data_settings(recipe), recipe.out)
    for stage in recipe.stages:
        folder = recipe.out / stage.name
        _check(recipe, folder, stage_settings(recipe, stage), folder)


def record(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what `folder` is made with."""
    atomic_write(folder / SETTINGS, encode(settings, indent=1))


def data_settings(recipe: Recipe) -> dict[str, Any]:
    """Take what the prepared data follow from; of each corpus that is still there also its SHA-256."""
    files = (file for corpus in (*recipe.data.train, *recipe.data.dev) for file in corpus.files)
    hashes = {str(file): file_sha256(file) for file in files if file.is_file()}
    texts = {
        f"{role}.{key}": getattr(recipe.part(role), key)
        for role in ROLES
        for key in ("reference", "chat", "vocab_size")
    }
    return _prompts(recipe) | texts | {"sha256": hashes}


def stage_settings(recipe: Recipe, stage: Stage) -> dict[str, Any]:
    """Take what a stage's weights follow from."""
    chain = {link.name: link for link in _chain(recipe, stage)}.values()
    shapes: set[Role] = {("llm" if link.trains == "llm" else "slm") for link in chain}
    if stage.reads_with or stage.teacher or stage.answers_of:
        shapes.add("llm")
    return {
        "seed": recipe.seed,
        **_prompts(recipe),
        **{shape: asdict(recipe.part(shape)) for shape in sorted(shapes)},
        **({"hybrid": asdict(recipe.hybrid)} if stage.trains == "hybrid" else {}),
        "stages": {link.name: asdict(link) for link in chain},
    }


def _prompts(recipe: Recipe) -> dict[str, Any]:
    """Take what prompts and answers are made of."""
    tasks = {name: asdict(table) for name, table in recipe.tasks.items()}
    return {"vocab_size": recipe.vocab_size, "data": asdict(recipe.data), "tasks": tasks}


def _chain(recipe: Recipe, stage: Stage) -> Iterator[Stage]:
    """Yield a stage and, one after the other, those that it builds on."""
    yield stage
    for link in LINKS:
        if (name := getattr(stage, link)) and name != PRETRAINED:
            yield from _chain(recipe, recipe.stage(name))


def _check(recipe: Recipe, folder: Path, settings: Mapping[str, Any], remove: Path) -> None:
    path = folder / SETTINGS
    if not path.is_file():  # nothing is there yet, or it is of a version that kept no settings
        return
    try:
        before = dict(_flat(json.loads(path.read_bytes())))
    except (OSError, ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is damaged: {error}. Delete {remove} to train it anew.") from error
    before, now = (
        _layers_in_one_place(before),
        _layers_in_one_place(dict(_flat(json.loads(encode(settings))))),
    )
    gone = {key for key in before.keys() - now.keys() if key.startswith("sha256.")}  # corpora may go
    changed = sorted(key for key in (before.keys() | now.keys()) - gone if before.get(key) != now.get(key))
    if changed:
        named = "; ".join(
            f"{key} is {_value_text(now, key)}, was {_value_text(before, key)}" for key in changed[:NAMED]
        )
        more = f"; and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        raise RecipeError(
            f"The recipe {recipe.name} is not the one that {folder} was made with: {named}{more}. Undo "
            f"that, give the recipe another output folder, or delete {remove} to train it anew."
        )


def _layers_in_one_place(values: Mapping[str, object]) -> dict[str, object]:
    """Say which layers a hybrid reads in one place and one way, however a recipe says it.

    values: by place. A stage's own layers stand for those of [hybrid]; [20] is 20, and "whole" as none.
    """
    places = {place: match for place in values if (match := LAYERS.fullmatch(place))}
    layers: dict[str, object] = {}
    for owner in ("hybrid", "stages"):  # at most one stage of a chain is a hybrid's
        own = [(f"layer{m['index']}", values[place]) for place, m in places.items() if m["owner"] == owner]
        layers = {key: value for key, value in own if value is not None} or layers
    if layers == {"layer": WHOLE}:
        layers = {}
    if layers.keys() == {"layer[0]"}:
        layers = {"layer": layers["layer[0]"]}
    return {place: value for place, value in values.items() if place not in places} | layers


def _value_text(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key])[:40] if key in values else "not given"


def _flat(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value of nested JSON by its place: data.train[0].path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{place}[{index}]")
    else:
        yield place, value
