"""Checkpoints: model and optimizer as safetensors, position as JSON; never pickled.

A checkpoint is written beside the last one and then takes its place, so a
run killed at any moment leaves one that is whole.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from hybrid.errors import RecipeError
from hybrid.store.files import old_folder, open_folder_atomic

CHECKPOINT, LOG = "checkpoint", "log.jsonl"  # in the folder of a stage
MODEL, OPTIMIZER, POSITION = "model.safetensors", "optimizer.safetensors", "position.json"
MEAN, BEST = "mean.safetensors", "best.safetensors"  # weights of a stage with ema, with patience


def save_checkpoint(
    folder: Path,
    position: Mapping[str, float],
    named: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    others: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
) -> None:
    """Write the state at a position, of which `step` is the updates done, to `folder`, atomically.

    others: more sets of weights by the names of their files. Raises OSError.
    """
    sets = {MODEL: named, OPTIMIZER: _moments(named, optimizer), **(others or {})}
    with open_folder_atomic(folder) as new:
        for name, tensors in sets.items():
            if tensors:
                save_file({key: t.detach().contiguous() for key, t in tensors.items()}, new / name)
        (new / POSITION).write_text(json.dumps(position), "utf-8")


def load_checkpoint(
    folder: Path,
    named: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    others: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
) -> dict[str, float]:
    """Fill model, optimizer and `others` from `folder`; return the position, step 0 without one.

    Raises RecipeError when it is damaged, or of a model of other sizes.
    """
    whole = whole_folder(folder)
    if whole is None:
        return {"step": 0}
    for name, tensors in {MODEL: named, OPTIMIZER: _moments(named, optimizer), **(others or {})}.items():
        if tensors:
            _fill(whole / name, tensors)
    try:
        position: dict[str, float] = json.loads((whole / POSITION).read_bytes())
        position["step"] += 0
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(whole / POSITION, "it gives no step") from error
    return position


def whole_folder(folder: Path) -> Path | None:
    """Return where a whole checkpoint is: `folder`, or the one before, when a save was interrupted."""
    places = (folder, old_folder(folder))
    return next((place for place in places if (place / POSITION).is_file()), None)


def load_weights(folder: Path, named: Mapping[str, torch.Tensor]) -> None:
    """Copy what a stage has come to into parameters of the same names: its best weights, mean or last ones.

    Raises RecipeError.
    """
    _fill(next(folder / name for name in (BEST, MEAN, MODEL) if (folder / name).is_file()), named)


def read_set(path: Path) -> dict[str, torch.Tensor]:
    """Read a set of weights; an empty one where there is none. Raises RecipeError."""
    try:
        return load_file(path) if path.is_file() else {}
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error


def _moments(named: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {f"{name}|{key}": value for name, p in named.items() for key, value in optimizer.state[p].items()}


@torch.no_grad()
def _fill(path: Path, named: Mapping[str, torch.Tensor]) -> None:
    """Copy all tensors of a file, which must be these."""
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _damaged(path, str(error)) from error
    for name in sorted(stored.keys() ^ named.keys()):
        raise _damaged(path, f"{name} is in it or in the recipe's model alone")
    for name, tensor in stored.items():
        if tensor.shape != named[name].shape:
            shapes = f"{tuple(tensor.shape)}, in the recipe's model {tuple(named[name].shape)}"
            raise _damaged(path, f"{name} has the shape {shapes}")
    for name, tensor in stored.items():
        named[name].copy_(tensor)


def _damaged(path: Path, reason: str) -> RecipeError:
    return RecipeError(
        f"{path} cannot be used: {reason.strip().rstrip('.')}. Delete {path.parent} to train the stage anew."
    )
