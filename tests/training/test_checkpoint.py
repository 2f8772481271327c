"""A checkpoint brings weights, moments and position back, and is whole at any moment."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from hybrid.errors import RecipeError
from hybrid.training.checkpoint import load_checkpoint, load_weights, save_checkpoint
from hybrid.training.models import build_model, trainable
from hybrid.training.optim import MuonAdam


def state(seed: int, updates: int) -> tuple[dict[str, nn.Parameter], MuonAdam]:
    torch.manual_seed(seed)
    named = {"q.weight": nn.Parameter(torch.randn(6, 4)), "norm.weight": nn.Parameter(torch.randn(5))}
    optimizer = MuonAdam(named, 0.02, 0.01)
    update(named, optimizer, range(updates))
    return named, optimizer


def update(named: dict[str, nn.Parameter], optimizer: MuonAdam, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in named.values():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.prepare(step, 1.0)
        optimizer.step()


def test_training_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    named, optimizer = state(1, 3)
    save_checkpoint(tmp_path / "checkpoint", {"step": 3}, named, optimizer)
    others, other_optimizer = state(2, 0)
    assert load_checkpoint(tmp_path / "checkpoint", others, other_optimizer)["step"] == 3
    update(named, optimizer, range(3, 6))
    update(others, other_optimizer, range(3, 6))
    for name in named:
        assert torch.equal(named[name], others[name])
    assert all(map(torch.equal, optimizer.moments(), other_optimizer.moments()))


def test_without_a_checkpoint_training_starts_at_zero(tmp_path: Path) -> None:
    named, optimizer = state(1, 0)
    before = {name: p.detach().clone() for name, p in named.items()}
    assert load_checkpoint(tmp_path / "checkpoint", named, optimizer)["step"] == 0
    assert all(torch.equal(named[name], before[name]) for name in named)


def test_a_save_replaces_the_last_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    for step in (1, 2):
        save_checkpoint(folder, {"step": step}, *state(step, step))
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]
    names = {p.name for p in folder.iterdir()}
    assert names == {"model.safetensors", "optimizer.safetensors", "position.json"}
    named, optimizer = state(9, 0)
    assert load_checkpoint(folder, named, optimizer)["step"] == 2
    assert torch.equal(named["q.weight"], state(2, 2)[0]["q.weight"])


def test_a_checkpoint_interrupted_half_way_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, {"step": 4}, *state(1, 4))
    folder.replace(tmp_path / ".checkpoint.old")  # killed between the two renames
    named, optimizer = state(2, 0)
    assert load_checkpoint(folder, named, optimizer)["step"] == 4
    assert torch.equal(named["q.weight"], state(1, 4)[0]["q.weight"])


def test_half_written_files_are_never_read(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, {"step": 4}, *state(1, 4))
    (tmp_path / ".checkpoint.new").mkdir()
    (tmp_path / ".checkpoint.new" / "model.safetensors").write_bytes(b"half")  # killed while writing
    assert load_checkpoint(folder, *state(2, 0))["step"] == 4
    save_checkpoint(folder, {"step": 5}, *state(1, 5))
    assert load_checkpoint(folder, *state(2, 0))["step"] == 5


@pytest.mark.parametrize("killed_twice", [False, True])
def test_one_checkpoint_is_whole_at_every_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_twice: bool
) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, {"step": 4}, *state(1, 4))
    if killed_twice:
        folder.replace(tmp_path / ".checkpoint.old")
    steps: list[int] = []

    def watched(function):
        def call(self, *args, **kwargs):
            steps.append(load_checkpoint(folder, *state(2, 0))["step"])
            done = function(self, *args, **kwargs)
            steps.append(load_checkpoint(folder, *state(2, 0))["step"])
            return done

        return call

    monkeypatch.setattr(Path, "replace", watched(Path.replace))
    monkeypatch.setattr(shutil, "rmtree", watched(shutil.rmtree))
    save_checkpoint(folder, {"step": 8}, *state(1, 8))
    assert set(steps) == {4, 8}
    assert steps == sorted(steps)


def test_weights_alone(tmp_path: Path) -> None:
    named, optimizer = state(1, 2)
    save_checkpoint(tmp_path / "checkpoint", {"step": 2}, named, optimizer)
    others, _ = state(2, 0)
    load_weights(tmp_path / "checkpoint", others)
    assert all(torch.equal(named[name], others[name]) for name in named)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("model.safetensors", b"half", "header"),
        ("position.json", b"{}", "gives no step"),
        ("position.json", b'{"step": "4"}', "gives no step"),
    ],
)
def test_a_checkpoint_that_is_damaged_is_named(
    finished, tmp_path: Path, file: str, content: bytes, says: str
) -> None:
    recipe = finished[0]
    folder = tmp_path / "checkpoint"
    shutil.copytree(recipe.out / "second" / "checkpoint", folder)
    (folder / file).write_bytes(content)
    named = trainable(build_model(recipe, recipe.stage("second"))[0])
    with pytest.raises(RecipeError, match=says) as caught:
        load_checkpoint(folder, named, MuonAdam(named, 0.02, 0.01))
    assert str(folder / file) in str(caught.value)


def test_a_checkpoint_of_another_model_is_named(finished) -> None:
    recipe = finished[0]
    named = trainable(build_model(recipe, recipe.stage("first"))[0])
    with pytest.raises(RecipeError, match=r"second/checkpoint/model\.safetensors cannot be used: .* alone"):
        load_checkpoint(recipe.out / "second" / "checkpoint", named, MuonAdam(named, 0.02, 0.01))
