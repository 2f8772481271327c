"""Costs from measured times: what one of each term takes, by least squares of relative errors.

A cost cannot be negative, so the least squares are non-negative ones (Lawson
and Hanson 1974, "Solving Least Squares Problems", chapter 23).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybrid.sizing.cost_features import Terms
from hybrid.sizing.profile import Costs, Known

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One measured time. size: prompts at once, tokens of each. scale: what its error is relative to."""

    size: tuple[int, int]
    terms: Terms
    place: tuple[float, ...]
    seconds: float
    scale: float


def fitted(
    samples: Sequence[Sample], shared: Sequence[str] = (), keep_ratios: bool = True
) -> tuple[Costs, ...]:
    """Costs for each size, all found at once.

    shared: terms that cost the same at any size. keep_ratios: of the samples,
    to interpolate between.
    """
    sizes = sorted({sample.size for sample in samples})
    names = sorted({name for sample in samples for name in sample.terms})
    own = [(name, size) for name in names if name not in shared for size in sizes]
    common = [(name, None) for name in names if name in shared]
    places = {key: index for index, key in enumerate([*own, *common])}

    def place(name: str, size: tuple[int, int]) -> int:
        return places[name, None if name in shared else size]

    matrix = np.zeros((len(samples), len(places)))
    for line, sample in zip(matrix, samples, strict=True):
        for name, amount in sample.terms.items():
            line[place(name, sample.size)] = amount / sample.scale
    found = nonnegative(matrix, np.array([sample.seconds / sample.scale for sample in samples]))
    plain = [Costs(*size, {name: float(found[place(name, size)]) for name in names}) for size in sizes]
    if not keep_ratios:
        return tuple(plain)
    return tuple(
        _known(costs, [sample for sample in samples if sample.size == (costs.batch, costs.tokens)])
        for costs in plain
    )


def nonnegative(matrix: Array, wanted: Array) -> Array:
    """Find the x >= 0 for which matrix @ x comes nearest to `wanted`."""
    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1.0
    scaled = matrix / scale
    x = np.zeros(scaled.shape[1])
    free = np.zeros(len(x), dtype=bool)
    for _ in range(3 * len(x)):
        gain = scaled.T @ (wanted - scaled @ x)
        gain[free] = -np.inf
        if gain.max(initial=-np.inf) <= 1e-10:
            break
        free[int(gain.argmax())] = True
        x = _inside(scaled, wanted, x, free)
    return np.asarray(x / scale, dtype=np.float64)


def _inside(matrix: Array, wanted: Array, x: Array, free: NDArray[np.bool_]) -> Array:
    """Least squares over the columns that are `free`, of which those that would turn negative are not."""
    while True:
        best = np.zeros(len(x))
        best[free] = np.linalg.lstsq(matrix[:, free], wanted, rcond=None)[0]
        below = free & (best <= 0)
        if not below.any():
            return best
        step = (x[below] / (x[below] - best[below])).min()
        x = x + step * (best - x)
        free &= x > 1e-14
        x[~free] = 0.0


def _known(costs: Costs, samples: Sequence[Sample]) -> Costs:
    """With what is left over, a geometric mean for each place."""
    ratios: dict[tuple[float, ...], list[float]] = {}
    for sample in samples:
        if said := costs.of(sample.terms):
            ratios.setdefault(sample.place, []).append(sample.seconds / said)
    known = [Known(place, float(np.exp(np.mean(np.log(found))))) for place, found in ratios.items()]
    return replace(costs, known=tuple(known))
