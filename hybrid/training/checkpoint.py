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
from hybrid.store.files import open_folder_atomic

MODEL, OPTIMIZER, POSITION = "model.safetensors", "optimizer.safetensors", "position.json"


def save_checkpoint(
    folder: Path, step: int, named: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Write the state after `step` updates to `folder`, atomically. Raises OSError."""
    moments = {
        f"{name}|{key}": value.contiguous()
        for name, p in named.items()
        for key, value in optimizer.state[p].items()
    }
    with open_folder_atomic(folder) as new:
        save_file({name: p.detach().contiguous() for name, p in named.items()}, new / MODEL)
        save_file(moments, new / OPTIMIZER)
        (new / POSITION).write_text(json.dumps({"step": step}), "utf-8")


def load_checkpoint(folder: Path, named: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Fill model and optimizer from `folder`; the number of updates done, 0 without one.

    Raises RecipeError when it is damaged, or of a model of other sizes.
    """
    whole = next(
        (f for f in (folder, folder.with_name(folder.name + ".old")) if (f / POSITION).is_file()), None
    )
    if whole is None:
        return 0
    load_weights(whole, named)
    moments: dict[str, torch.Tensor] = {
        f"{name}|{key}": value for name, p in named.items() for key, value in optimizer.state[p].items()
    }
    _fill(whole / OPTIMIZER, moments)
    try:
        step: int = json.loads((whole / POSITION).read_bytes())["step"] + 0
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(whole / POSITION, "it gives no step") from error
    return step


def load_weights(folder: Path, named: Mapping[str, torch.Tensor]) -> None:
    """Copy the weights of a checkpoint into parameters of the same names. Raises RecipeError."""
    _fill(folder / MODEL, named)


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
