"""How decode steps are computed here: the fastest way that works and agrees with plain PyTorch.

    triton-pdl  fused kernels, each launched before the one ahead of it has ended; compute capability 9.0
    triton      the same, one after another
    torch       PyTorch's own kernels

A way is tried on the very sizes that it is wanted for. One that fails, because
Triton finds no compiler for example, or that computes something else, is not
tried again, and is named with the reason.
"""

from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec

import torch

from hybrid.engines.cuda.buffers import Buffers
from hybrid.engines.cuda.folding import Fold, fold
from hybrid.engines.cuda.plain_step import PlainStep
from hybrid.engines.cuda.recorder import Recorder, Work
from hybrid.engines.cuda.weights import Decoder

AUTO = "auto"
TORCH = "torch"
WAYS = ("triton-pdl", "triton", TORCH)  # the fastest first
HOPPER = (9, 0)
# Of the logits, as a share of their norm: kernels that are wrong are off by about 1. Rounding in 16 bits,
# in 24 layers, gives some hundredths.
TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.15}


class Steps:
    """Makes the decode steps of one decoder.

    way: of WAYS, to be tried before the simpler ones, or AUTO, the fastest of
    this device. say: called with a sentence when a way is given up.
    """

    def __init__(self, weights: Decoder, say: Callable[[str], None], way: str = AUTO) -> None:
        self._ways = _possible(weights.head.device) if way == AUTO else list(WAYS[WAYS.index(way) :])
        self._weights, self._say = weights, say
        self._timed, self._best = way == AUTO, dict[int, str]()  # by batch, the fastest way

    @property
    def way(self) -> str:
        """The way that is used, as far as it is known by now."""
        return self._ways[0]

    @property
    def used(self) -> str:
        """The way that is used; after it those of batches for which another one is faster."""
        other = (f"{way} for batches of {n}" for n, way in sorted(self._best.items()) if way != self.way)
        return ", ".join((self.way, *other))

    def fastest(self, buffers: Buffers, recorder: Recorder) -> Work:
        """A step over these buffers, whose answers are lost.

        One answer waits for launches, and the ways stand in the order that helps
        it. What several cost depends on the device: the ways are timed, once for
        each number of answers.
        """
        batch = len(buffers.rows)
        step = self.make(buffers)
        if not self._timed or batch == 1 or self.way == TORCH:
            return step
        found = {self.way: step} | self._slower(buffers)
        if batch not in self._best:
            seconds = {way: recorder.seconds(work, buffers.restart) for way, work in found.items()}
            self._best[batch] = min(seconds, key=seconds.__getitem__)
        return found.get(self._best[batch], step)

    def _slower(self, buffers: Buffers) -> dict[str, Work]:
        """Steps by those ways that come after the one that is used, and that agree with it."""
        plain = PlainStep(self._weights, buffers)
        found: dict[str, Work] = {TORCH: plain}
        if WAYS[1] in self._ways[1:]:
            step = self._fused(buffers, WAYS[1])
            if _difference(plain, step, self._weights, buffers) <= TOLERANCES[self._weights.head.dtype]:
                found[WAYS[1]] = step
        return found

    def make(self, buffers: Buffers) -> Work:
        """The same by the first way that works and agrees."""
        plain = PlainStep(self._weights, buffers)
        while self.way != TORCH:
            try:
                step = self._fused(buffers, self.way)
                error = _difference(plain, step, self._weights, buffers)
            except torch.OutOfMemoryError:  # no fault of Triton's
                raise
            except Exception as failure:  # whatever Triton, its compiler and the driver raise
                reason = f"{type(failure).__name__}: {str(failure).strip().partition(chr(10))[0]}"
            else:
                if error <= TOLERANCES[self._weights.head.dtype]:
                    return step
                reason = f"its logits are off by {error:.3g} of their size"
            left = self._ways.pop(0)
            self._say(f"Decode steps run with {self.way} kernels in place of {left}: {reason}.")
        return plain

    def _fused(self, buffers: Buffers, way: str) -> Work:
        from hybrid.engines.cuda.fused_step import FusedStep  # it imports triton

        return FusedStep(self._weights, buffers, self._folds, early=way == WAYS[0])

    @cached_property
    def _folds(self) -> tuple[Fold, ...]:
        return fold(self._weights)


def _possible(device: torch.device) -> list[str]:
    if device.type != "cuda" or find_spec("triton") is None:
        return [TORCH]
    return list(WAYS if torch.cuda.get_device_capability(device) >= HOPPER else WAYS[1:])


def _difference(plain: Work, other: Work, weights: Decoder, buffers: Buffers) -> float:
    """How far apart the logits are, over their norm, after two ids of made-up answers to made-up prompts."""
    found = []
    for step in (plain, other):
        _pretend(buffers)
        step()
        buffers.rows.copy_(weights.embeddings[3])
        step()
        found.append(buffers.logits.clone())
    buffers.own.zero_()  # also of what is not a number
    one, two = found
    error = float((one - two).norm() / one.norm())
    return error if error == error else float("inf")


def _pretend(buffers: Buffers) -> None:
    """Prompts of several lengths with keys and values between -1 and 1."""
    device, (batch, *keys) = buffers.crossed.device, buffers.crossed.shape[2:]
    noise = torch.arange(keys[0] * keys[1] * keys[2], device=device) % 251 / 125 - 1
    rows = torch.arange(batch, device=device)
    buffers.crossed.copy_(noise.view(keys))
    buffers.crossed.mul_(1 - rows.view(-1, 1, 1, 1) / 64)
    buffers.lengths.copy_((keys[1] - 7 * rows).clamp_(min=1))
    buffers.restart()
