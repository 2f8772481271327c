"""Ways to damage the files of a pair in a folder, in place."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Damage = Callable[[Path], object]


def settings(file: str, **changes: Any) -> Damage:
    """Change keys of a JSON file; `part__key` is a key of the object `part`, and None takes one away."""

    def damage(folder: Path) -> None:
        content = json.loads((folder / file).read_text("utf-8"))
        for name, value in changes.items():
            *parts, key = name.split("__")
            place = content
            for part in parts:
                place = place[part]
            place[key] = value
            if value is None:
                del place[key]
        (folder / file).write_text(json.dumps(content), "utf-8")

    return damage


def text(file: str, content: str | bytes) -> Damage:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / file).write_bytes(data)


def tensors(file: str, change: Callable[[dict[str, torch.Tensor]], object]) -> Damage:
    def damage(folder: Path) -> None:
        weights = load_file(folder / file)
        change(weights)
        save_file(weights, folder / file)

    return damage


def instead(file: str, make: Callable[[Path], object]) -> Damage:
    def damage(folder: Path) -> None:
        (folder / file).unlink()
        make(folder / file)

    return damage


def vocabulary(**changes: Any) -> Damage:
    def damage(folder: Path) -> None:
        content = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        content["model"]["vocab"] |= changes
        (folder / "tokenizer.json").write_text(json.dumps(content), "utf-8")

    return damage
