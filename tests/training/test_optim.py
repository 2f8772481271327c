"""Muon's updates are near orthogonal, the rest is Adam, and rates are relative to the weights."""

import pytest
import torch
from torch import nn

from hybrid.training.optim import AdamW, MeanWeights, MuonAdam, linear_schedule, orthogonalize


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (40, 12)], ids=str)
def test_orthogonalize(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(3, *shape, generator=generator) * torch.tensor([1e-4, 1.0, 1e3])[:, None, None]
    done = orthogonalize(batch)
    assert done.shape == batch.shape
    values = torch.linalg.svdvals(done) / max(shape) ** 0.5
    assert values.max() < 1.3
    # A value below 1% of the norm has not arrived after five steps; the rest has.
    before = torch.linalg.svdvals(batch / batch.flatten(1).norm(dim=1)[:, None, None])
    assert values[before > 0.01].min() > 0.6
    assert (before > 0.01).float().mean() > 0.9
    for matrix, whole in zip(batch, done, strict=True):  # a matrix does not depend on its neighbours
        torch.testing.assert_close(orthogonalize(matrix[None])[0], whole, rtol=1e-4, atol=1e-4)
    left, _, right = torch.linalg.svd(batch, full_matrices=False)
    cosines = ((left @ right) * done).sum((1, 2)) / (left @ right).norm(dim=(1, 2)) / done.norm(dim=(1, 2))
    assert cosines.min() > 0.95


def test_the_adam_part_is_torchs_adam() -> None:
    torch.manual_seed(1)
    start = torch.randn(20) * 0.3
    rms = start.pow(2).mean().sqrt().item()
    weights, torchs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    mine = MuonAdam({"layer_norm.weight": weights}, 0.02, 0.05)
    adam = torch.optim.Adam([torchs], lr=0.05 * rms, betas=(0.9, 0.98), eps=1e-12)
    for step in range(8):
        factor = linear_schedule(step, 3, 8)
        gradient = torch.randn(20)
        weights.grad, torchs.grad = gradient.clone(), gradient.clone()
        mine.prepare(step, factor)
        mine.step()
        adam.param_groups[0]["lr"] = 0.05 * rms * factor
        adam.step()
        torch.testing.assert_close(weights, torchs, rtol=1e-5, atol=1e-7)
    assert (weights - start).abs().mean() > 0.01 * rms


def test_tables_and_vectors_are_adams_and_matrices_muons() -> None:
    names = ["shared.weight", "lm_head.weight", "embed_tokens.weight", "relative_attention_bias.weight"]
    named = {name: nn.Parameter(torch.randn(4, 4)) for name in [*names, "q.weight", "wo.weight"]}
    named["norm.weight"] = nn.Parameter(torch.randn(4))
    groups = MuonAdam(named, 0.02, 0.01).param_groups
    kinds = {id(p): group["kind"] for group in groups for p in group["params"]}
    assert {name for name, p in named.items() if kinds[id(p)] == "matrix"} == {"q.weight", "wo.weight"}
    assert len(kinds) == len(named)


def test_a_matrix_moves_by_its_rate_times_its_scale() -> None:
    torch.manual_seed(2)
    matrix, vector = nn.Parameter(torch.randn(24, 16) * 0.03), nn.Parameter(torch.ones(2))
    start = matrix.detach().clone()
    optimizer = MuonAdam({"q.weight": matrix, "norm": vector}, 0.02, 0.01, weight_decay=0.0)
    matrix.grad, vector.grad = torch.randn(24, 16), torch.ones(2)
    optimizer.prepare(0, 0.5)
    optimizer.step()
    moved = (matrix - start).pow(2).mean().sqrt() / start.pow(2).mean().sqrt()
    # 16 singular values of about 1 in a 24 x 16 matrix: RMS about 1.
    assert 0.02 * 0.5 * 0.7 < moved < 0.02 * 0.5 * 1.2
    assert ((matrix - start) * matrix.grad).sum() < 0


def test_momentum_looks_ahead() -> None:
    torch.manual_seed(3)
    matrix = nn.Parameter(torch.randn(8, 8))
    start, scale = matrix.detach().clone(), matrix.detach().pow(2).mean().sqrt()
    optimizer = MuonAdam({"q.weight": matrix, "norm": nn.Parameter(torch.ones(2))}, 0.02, 0.01, 0.1)
    optimizer.param_groups[-1]["params"][0].grad = torch.ones(2)
    mean, expected = torch.zeros(8, 8), start
    for step in range(3):
        gradient = torch.randn(8, 8)
        matrix.grad = gradient.clone()
        optimizer.prepare(step, 1.0)
        optimizer.step()
        mean = 0.95 * mean + 0.05 * gradient
        ahead = 0.05 * gradient + 0.95 * mean
        expected = expected * (1 - 0.02 * 0.1) - 0.02 * scale * orthogonalize(ahead[None])[0]
    torch.testing.assert_close(matrix.detach(), expected, rtol=1e-4, atol=1e-5)


def test_a_zero_bias_can_move() -> None:
    bias = nn.Parameter(torch.zeros(3))
    optimizer = MuonAdam({"bias": bias}, 0.02, 0.01)
    bias.grad = torch.ones(3)
    optimizer.prepare(0, 1.0)
    optimizer.step()
    torch.testing.assert_close(bias.detach(), torch.full((3,), -0.01 * 0.1))


def test_the_schedule_rises_and_falls() -> None:
    factors = [linear_schedule(step, 10, 110) for step in range(111)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert factors[60] == pytest.approx(0.5)
    assert factors[109] == pytest.approx(0.01)
    assert factors[110] == 0.0
    assert factors[:10] == sorted(factors[:10])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert linear_schedule(0, 0, 1) == 1.0


def test_adamw_is_torchs_with_clipped_gradients_and_no_decay_of_vectors() -> None:
    torch.manual_seed(1)
    start = {"w": torch.randn(6, 5), "norm": torch.randn(5)}
    mine, theirs = ({name: nn.Parameter(t.clone()) for name, t in start.items()} for _ in range(2))
    optimizer = AdamW(mine, 0.01, weight_decay=0.1, clip=0.5)
    groups = [
        {"params": [theirs["w"]], "weight_decay": 0.1},
        {"params": [theirs["norm"]], "weight_decay": 0.0},
    ]
    torchs = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.98))
    for step in range(6):
        factor = linear_schedule(step, 3, 8)
        for name in start:
            mine[name].grad = torch.randn(start[name].shape) * 3
            theirs[name].grad = mine[name].grad.clone()
        nn.utils.clip_grad_norm_(theirs.values(), 0.5)
        optimizer.prepare(step, factor)
        optimizer.step()
        for group in torchs.param_groups:
            group["lr"] = 0.01 * factor
        torchs.step()
        for name in start:
            torch.testing.assert_close(mine[name], theirs[name], rtol=1e-4, atol=1e-6)


def test_the_mean_of_the_weights_follows_them_and_stands_in_for_them() -> None:
    weight = nn.Parameter(torch.zeros(3))
    mean = MeanWeights({"w": weight}, 0.99)
    for step in range(200):
        weight.data.fill_(1.0 if step >= 100 else 0.0)
        mean.update(step)
    assert 0.95 < mean.named["w"][0] < 1
    with mean.in_place():
        assert torch.equal(weight, mean.named["w"])
    assert torch.equal(weight, torch.ones(3))


def test_without_decay_there_is_no_mean() -> None:
    weight = nn.Parameter(torch.ones(2))
    mean = MeanWeights({"w": weight}, 0.0)
    mean.update(0)
    assert not mean.named
    with mean.in_place():
        assert torch.equal(weight, torch.ones(2))
