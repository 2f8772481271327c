"""Checkpoints: model and optimizer as safetensors, position as JSON; never pickled.

A checkpoint is written beside the last one and then takes its place, so a
run killed at any moment leaves one that is whole.
"""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

MODEL, OPTIMIZER, POSITION = "model.safetensors", "optimizer.safetensors", "position.json"


def save_checkpoint(
    folder: Path, step: int, named: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Write the state after `step` updates to `folder`, atomically."""
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    save_file({name: p.detach().contiguous() for name, p in named.items()}, new / MODEL)
    moments = {
        f"{name}|{key}": value.contiguous()
        for name, p in named.items()
        for key, value in optimizer.state[p].items()
    }
    save_file(moments, new / OPTIMIZER)
    (new / POSITION).write_text(json.dumps({"step": step}), "utf-8")
    old = folder.with_name(folder.name + ".old")
    if folder.exists():  # else the last run died here, and .old is all there is
        shutil.rmtree(old, ignore_errors=True)
        folder.replace(old)
    new.replace(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, named: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Fill model and optimizer from `folder`; the number of updates done, 0 without one."""
    whole = next(
        (f for f in (folder, folder.with_name(folder.name + ".old")) if (f / POSITION).is_file()), None
    )
    if whole is None:
        return 0
    load_weights(whole, named)
    for key, value in load_file(whole / OPTIMIZER).items():
        name, _, field = key.rpartition("|")
        optimizer.state[named[name]][field].copy_(value)
    step: int = json.loads((whole / POSITION).read_text("utf-8"))["step"]
    return step


@torch.no_grad()
def load_weights(folder: Path, named: dict[str, nn.Parameter]) -> None:
    """Copy the weights of a checkpoint into parameters of the same names."""
    for name, tensor in load_file(folder / MODEL).items():
        named[name].copy_(tensor)
