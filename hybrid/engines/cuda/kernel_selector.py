"""Which kernels compute decode steps and passes over several tokens: the fastest that agree with PyTorch.

    triton-pdl  fused kernels, each launched before the one ahead of it has ended; compute capability 9.0
    triton      the same, one after another
    torch       PyTorch's own kernels

Kernels are tried on the very sizes that they are to run. Those that fail, because
Triton finds no compiler for example, or that compute something else, are not
tried again, and are named with the reason.

Letters: N tokens of all answers, D model width.
"""

from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec

import torch

from hybrid.engines.cuda.buffers import DecodeBuffers, PassCaches
from hybrid.engines.cuda.capture import GraphCapturer, Work
from hybrid.engines.cuda.eager_decoder import EagerDecodeStep
from hybrid.engines.cuda.products import FusedProducts, fuse_products
from hybrid.engines.cuda.weights import PackedDecoder, PackedStack

Pass = Callable[[torch.Tensor], torch.Tensor]  # (N, D) rows through layers; those that go in may be lost
Say = Callable[[str], None]
AUTO = "auto"
TORCH = "torch"
KERNELS = ("triton-pdl", "triton", TORCH)  # the fastest first
HOPPER = (9, 0)
# Of the logits, as a share of their norm: kernels that are wrong are off by about 1. Rounding in 16 bits,
# in 24 layers, gives some hundredths.
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.15}


class KernelSelector:
    """Selects the kernels of one decoder's steps, and of passes of it and of what reads its prompts.

    kernel: of KERNELS, to be tried before the simpler ones, or AUTO, the fastest
    of this device. say: called with a sentence when kernels are given up.
    """

    def __init__(self, weights: PackedDecoder, say: Say, kernel: str = AUTO) -> None:
        auto, device = kernel == AUTO, weights.embeddings.device
        self._kernels = _available(device) if auto else list(KERNELS[KERNELS.index(kernel) :])
        self._weights, self._say = weights, say
        self._timed, self._best = auto, dict[int, str]()  # by batch, the fastest kernels
        self._passes_failed = False
        self._torch_passes = set[int]()  # of so many tokens, which torch lets through

    @property
    def kernel(self) -> str:
        """The kernels in use, as far as they are known by now."""
        return self._kernels[0]

    @property
    def used(self) -> str:
        """The kernels in use; after them those of batches and passes for which others are faster."""
        names = [self.kernel]
        names += [f"{name} for batches of {n}" for n, name in sorted(self._best.items()) if name != names[0]]
        if self._torch_passes and self.kernel != TORCH:
            names.append(f"{TORCH} for passes of {', '.join(map(str, sorted(self._torch_passes)))} tokens")
        return ", ".join(names)

    def fastest(self, buffers: DecodeBuffers, capturer: GraphCapturer) -> Work:
        """Select a step over these buffers, whose answers are lost.

        One answer waits for launches, and the kernels stand in the order that
        helps it. What several cost depends on the device: the kernels are timed,
        once for each number of answers.
        """
        batch = len(buffers.inputs)
        step = self.first(buffers)
        if not self._timed or batch == 1 or self.kernel == TORCH:
            return step
        steps = {self.kernel: step} | self._simpler(buffers)
        if batch not in self._best:
            seconds = {name: capturer.seconds(work, buffers.restart) for name, work in steps.items()}
            self._best[batch] = min(seconds, key=seconds.__getitem__)
        return steps.get(self._best[batch], step)

    def first(self, buffers: DecodeBuffers) -> Work:
        """Select the first kernels that work and agree."""
        eager = EagerDecodeStep(self._weights, buffers)
        while self.kernel != TORCH:
            try:
                step = self._triton(buffers, self.kernel)
                error = _difference(eager, step, buffers)
            except torch.OutOfMemoryError:  # no fault of Triton's
                raise
            except Exception as failure:  # whatever Triton, its compiler and the driver raise
                reason = _first_line(failure)
            else:
                if error <= TOLERANCES[self._weights.embeddings.dtype]:
                    return step
                reason = f"its logits are off by {error:.3g} of their size"
            failed = self._kernels.pop(0)
            self._say(f"Decode steps run with {self.kernel} kernels in place of {failed}: {reason}.")
        return eager

    def fastest_pass(
        self,
        stack: PackedStack,
        caches: PassCaches,
        eager: Pass,
        rows: torch.Tensor,
        capturer: GraphCapturer,
    ) -> Pass:
        """Select what lets tokens through the layers of a stack: `eager`, or Triton's where it is faster.

        rows: an example of theirs. What the caches held is lost.
        """
        if self.kernel == TORCH:
            return eager
        fused = None if self._passes_failed else self._triton_pass(stack, caches, eager, rows)
        if fused is not None and not (
            self._timed and _seconds(eager, rows, capturer) < _seconds(fused, rows, capturer)
        ):
            return fused
        self._torch_passes.add(len(rows))
        return eager

    def _triton_pass(
        self, stack: PackedStack, caches: PassCaches, eager: Pass, rows: torch.Tensor
    ) -> Pass | None:
        """Make the pass by Triton's kernels; None, for good, when they fail or disagree."""
        try:
            from hybrid.engines.cuda.triton_step import TritonLayers  # it imports triton

            layers = TritonLayers(stack, caches, len(rows), early=self.kernel == KERNELS[0])
            error = _difference_of_rows(eager(rows.clone()), layers(rows.float()))
        except torch.OutOfMemoryError:  # no fault of Triton's
            raise
        except Exception as failure:  # whatever Triton, its compiler and the driver raise
            reason = _first_line(failure)
        else:
            if error <= TOLERANCES[stack.embeddings.dtype]:
                return lambda rows: layers(rows.float())
            reason = f"its rows are off by {error:.3g} of their size"
        for cache in caches.self_kv_cache:
            cache.zero_()  # also of what is not a number
        self._passes_failed = True
        self._say(f"Passes run with {TORCH} kernels in place of {self.kernel}: {reason}.")
        return None

    def _simpler(self, buffers: DecodeBuffers) -> dict[str, Work]:
        """Create steps by those kernels that come after the ones in use, and that agree with them."""
        eager = EagerDecodeStep(self._weights, buffers)
        steps: dict[str, Work] = {TORCH: eager}
        if KERNELS[1] in self._kernels[1:]:
            step = self._triton(buffers, KERNELS[1])
            if _difference(eager, step, buffers) <= TOLERANCES[self._weights.embeddings.dtype]:
                steps[KERNELS[1]] = step
        return steps

    def _triton(self, buffers: DecodeBuffers, kernel: str) -> Work:
        from hybrid.engines.cuda.triton_step import TritonDecodeStep  # it imports triton

        return TritonDecodeStep(self._weights, buffers, self._products, early=kernel == KERNELS[0])

    @cached_property
    def _products(self) -> tuple[FusedProducts, ...]:
        return fuse_products(self._weights)


def _available(device: torch.device) -> list[str]:
    if device.type != "cuda" or find_spec("triton") is None:
        return [TORCH]
    return list(KERNELS if torch.cuda.get_device_capability(device) >= HOPPER else KERNELS[1:])


def example_rows(stack: PackedStack, count: int) -> torch.Tensor:
    """Give (N, D) embeddings of ids that are unlike each other."""
    numbers = torch.arange(count, device=stack.embeddings.device)
    return stack.embeddings[numbers * 7919 % len(stack.embeddings)]


def _first_line(failure: Exception) -> str:
    return f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0]}"


def _seconds(run: Pass, rows: torch.Tensor, capturer: GraphCapturer) -> float:
    """Time a pass over `rows`."""

    def work() -> None:
        run(rows.clone())

    return capturer.seconds(work, restart=lambda: None)


def _difference_of_rows(expected: torch.Tensor, actual: torch.Tensor) -> float:
    """Measure how far apart (N, D) rows are, over their norm: of the mean row and of the middle channel.

    A few channels and tokens can be a thousand times as large as all others.
    """
    expected, actual = expected.float(), actual.float()
    apart = expected - actual
    rows, channels = (apart.norm(dim=dim) / expected.norm(dim=dim).clamp_min(1e-30) for dim in (1, 0))
    error = float(torch.maximum(rows.mean(), channels.median()))
    return error if error == error else float("inf")


def _difference(eager: Work, other: Work, buffers: DecodeBuffers) -> float:
    """Measure how far apart the logits are, over their norm, two ids into synthetic answers."""
    logits = []
    for step in (eager, other):
        _fill_synthetic(buffers)
        step()
        buffers.put_inputs(torch.full_like(buffers.positions, 3))
        step()
        logits.append(buffers.logits.clone())
    buffers.self_kv_cache.zero_()  # also of what is not a number
    expected, actual = logits
    error = float((expected - actual).norm() / expected.norm())
    return error if error == error else float("inf")


def _fill_synthetic(buffers: DecodeBuffers) -> None:
    """Put in prompts of several lengths with keys and values between -1 and 1."""
    crosses = buffers.cross_kv_cache.numel() > 0
    cache = buffers.cross_kv_cache if crosses else buffers.self_kv_cache
    device, (batch, *keys) = cache.device, cache.shape[2:]
    noise = torch.arange(keys[0] * keys[1] * keys[2], device=device) % 251 / 125 - 1
    rows = torch.arange(batch, device=device)
    cache.copy_(noise.view(keys))
    cache.mul_(1 - rows.view(-1, 1, 1, 1) / 64)
    buffers.lengths.copy_((buffers.prompt_tokens - 7 * rows).clamp_(min=1))
    buffers.restart()
