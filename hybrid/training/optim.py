"""The optimizers: Muon for matrices and Adam for everything else, or AdamW; and a mean of the weights.

MuonAdam's rates are relative: an update changes a tensor by `lr` times its RMS at
initialization. T5 draws its weights at very different scales (embeddings at
1, queries at 1/sqrt(d_model * d_kv)), and one relative rate fits them all.

Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. torch.optim.Muon
walks over the matrices one by one; here equal shapes are orthogonalized in
one batched product, which takes the update of a 24-layer model from thousands
of kernel launches to a hundred.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import nn

from hybrid.training.recipe import Stage

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic coefficients of the Muon post


class MuonAdam(torch.optim.Optimizer):
    """Muon (nesterov, 5 Newton-Schulz steps) on matrices, Adam on the rest.

    named: parameters by name, at their initial values. Embeddings and tied
        heads count as vectors: their rows are looked up one by one.
    """

    def __init__(
        self,
        named: dict[str, nn.Parameter],
        matrix_lr: float,
        vector_lr: float,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        vectors, by_shape = _sort_parameters(named)
        groups: list[dict[str, Any]] = [
            {"params": params, "kind": "matrix", "lr": matrix_lr} for params in by_shape
        ]
        groups.append({"params": vectors, "kind": "vector", "lr": vector_lr})
        super().__init__(groups, {"weight_decay": weight_decay, "momentum": momentum, "betas": betas})
        device = vectors[0].device
        # On the device, so that a captured update sees new values: lr factor, Adam's bias corrections.
        self.factor, self.unbias_mean, self.unbias_square = (torch.ones((), device=device) for _ in range(3))
        for group in self.param_groups:
            for parameter in group["params"]:
                self._start(parameter, group["kind"])

    def _start(self, parameter: nn.Parameter, kind: str) -> None:
        state = self.state[parameter]
        rms = parameter.detach().float().pow(2).mean().sqrt()
        # Zero-initialized biases have no scale of their own.
        state["scale"] = torch.where(rms > 0, rms, torch.full_like(rms, 0.1))
        state["mean"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        if kind == "vector":
            state["square"] = torch.zeros_like(state["mean"])

    def prepare(self, step: int, lr_factor: float) -> None:
        """Set what update number `step` (from 0) uses: the rates' factor and the bias corrections."""
        beta1, beta2 = self.param_groups[-1]["betas"]
        self.factor.fill_(lr_factor)
        self.unbias_mean.fill_(1 / (1 - beta1 ** (step + 1)))
        self.unbias_square.fill_(1 / (1 - beta2 ** (step + 1)))

    def moments(self, copy: bool = False) -> list[torch.Tensor]:
        """All running averages, in a fixed order."""
        averages = [s[key] for s in self.state.values() for key in ("mean", "square") if key in s]
        return [tensor.clone() for tensor in averages] if copy else averages

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            (self._step_matrices if group["kind"] == "matrix" else self._step_vectors)(group)

    def _step_matrices(self, group: dict[str, Any]) -> None:
        params: list[torch.Tensor] = group["params"]
        grads = [p.grad for p in params if p.grad is not None]
        means = [self.state[p]["mean"] for p in params]
        lr = self.factor * group["lr"]
        torch._foreach_lerp_(means, grads, 1 - group["momentum"])
        looked_ahead = torch._foreach_lerp(grads, means, group["momentum"])
        updates = orthogonalize(torch.stack(list(looked_ahead)))  # (n, rows, columns), RMS 1
        scales = torch.stack([self.state[p]["scale"] for p in params])
        updates = (updates * (-lr * scales)[:, None, None]).to(params[0].dtype)
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_add_(params, list(updates.unbind()))

    def _step_vectors(self, group: dict[str, Any]) -> None:
        params: list[torch.Tensor] = group["params"]
        beta1, beta2 = group["betas"]
        grads = [p.grad for p in params if p.grad is not None]
        means = [self.state[p]["mean"] for p in params]
        squares = [self.state[p]["square"] for p in params]
        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        roots = torch._foreach_mul(squares, self.unbias_square)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, 1e-12)
        updates = list(torch._foreach_div(means, roots))
        rate = -self.factor * group["lr"] * self.unbias_mean
        scales = [self.state[p]["scale"] * rate for p in params]
        torch._foreach_mul_(updates, scales)
        torch._foreach_add_(params, updates)


class AdamW(torch.optim.Optimizer):
    """AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) at one absolute rate, gradients clipped together.

    For pretrained weights. Matrices decay, norms and biases do not. clip: norm of all gradients.
    """

    def __init__(
        self,
        named: dict[str, nn.Parameter],
        lr: float,
        weight_decay: float = 0.01,
        clip: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.98),
    ) -> None:
        super().__init__([{"params": list(named.values()), "lr": lr}], {"weight_decay": weight_decay})
        self.clip, self.betas = clip, betas
        device = next(iter(named.values())).device
        self.factor, self.unbias_mean, self.unbias_square = (torch.ones((), device=device) for _ in range(3))
        for parameter in named.values():
            state = self.state[parameter]
            state["mean"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
            state["square"] = torch.zeros_like(state["mean"])

    def prepare(self, step: int, lr_factor: float) -> None:
        """Set what update number `step` (from 0) uses: the rate's factor and the bias corrections."""
        self.factor.fill_(lr_factor)
        self.unbias_mean.fill_(1 / (1 - self.betas[0] ** (step + 1)))
        self.unbias_square.fill_(1 / (1 - self.betas[1] ** (step + 1)))

    def moments(self, copy: bool = False) -> list[torch.Tensor]:
        """All running averages, in a fixed order."""
        averages = [s[key] for s in self.state.values() for key in ("mean", "square")]
        return [tensor.clone() for tensor in averages] if copy else averages

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        group = self.param_groups[0]
        params: list[torch.Tensor] = group["params"]
        grads = [p.grad for p in params if p.grad is not None]
        norm = torch.stack(list(torch._foreach_norm(grads))).norm()
        torch._foreach_mul_(grads, (self.clip / (norm + 1e-6)).clamp_max(1.0))
        means, squares = ([self.state[p][key] for p in params] for key in ("mean", "square"))
        torch._foreach_lerp_(means, grads, 1 - self.betas[0])
        torch._foreach_mul_(squares, self.betas[1])
        torch._foreach_addcmul_(squares, grads, grads, 1 - self.betas[1])
        roots = torch._foreach_mul(squares, self.unbias_square)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, 1e-8)
        updates = torch._foreach_div(means, roots)
        rate = self.factor * group["lr"]
        torch._foreach_mul_(updates, -rate * self.unbias_mean)
        matrices = [p for p in params if p.ndim > 1]
        if matrices:
            torch._foreach_mul_(matrices, 1 - rate * group["weight_decay"])
        torch._foreach_add_(params, updates)


Optimizer: TypeAlias = MuonAdam | AdamW


def optimizer_of(stage: Stage, named: dict[str, nn.Parameter]) -> Optimizer:
    """Make the optimizer that a stage asks for."""
    if stage.optimizer == "adamw":
        return AdamW(named, stage.lr, stage.weight_decay, stage.clip)
    return MuonAdam(named, stage.matrix_lr, stage.vector_lr, stage.weight_decay)


class MeanWeights:
    """An exponential moving average of weights (Polyak and Juditsky 1992), started with them."""

    def __init__(self, named: dict[str, nn.Parameter], decay: float) -> None:
        self._params, self._decay = list(named.values()), decay
        self.named = {name: p.detach().clone() for name, p in named.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update number `step` (from 0); early ones are forgotten sooner."""
        if self.named:
            decay = min(self._decay, (step + 1) / (step + 10))
            torch._foreach_lerp_(list(self.named.values()), [p.data for p in self._params], 1 - decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the mean in the place of the weights for a while."""
        if not self.named:
            yield
            return
        live = [p.detach().clone() for p in self._params]
        self._fill(list(self.named.values()))
        try:
            yield
        finally:
            self._fill(live)

    @torch.no_grad()
    def _fill(self, values: list[torch.Tensor]) -> None:
        torch._foreach_copy_([p.data for p in self._params], values)


def orthogonalize(batch: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Nearest semi-orthogonal matrices, scaled to RMS 1; (n, rows, columns) in bf16 on GPU.

    Newton-Schulz brings the singular values to about 1 (0.7 to 1.2), so the
    RMS is 1 / sqrt(max(rows, columns)) before scaling.
    """
    a, b, c = NEWTON_SCHULZ
    x = batch.to(torch.bfloat16) if batch.is_cuda else batch.float()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    if tall:
        x = x.mT
    scaled: torch.Tensor = x * max(x.shape[-2:]) ** 0.5
    return scaled


def linear_schedule(step: int, warmup: int, total: int) -> float:
    """Rate factor: linear warm-up, then linear to zero at `total`."""
    return min((step + 1) / max(warmup, 1), max(0.0, (total - step) / max(total - warmup, 1)))


def _sort_parameters(
    named: dict[str, nn.Parameter],
) -> tuple[list[nn.Parameter], Iterable[list[nn.Parameter]]]:
    vectors: list[nn.Parameter] = []
    by_shape: dict[torch.Size, list[nn.Parameter]] = {}
    for name, parameter in named.items():
        is_table = any(part in name for part in ("shared", "embed", "lm_head", "relative_attention_bias"))
        if parameter.ndim != 2 or is_table:  # rows of a table are looked up one by one
            vectors.append(parameter)
        else:
            by_shape.setdefault(parameter.shape, []).append(parameter)
    return vectors, by_shape.values()
