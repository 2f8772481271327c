"""What work costs at any size: as measured times say, interpolated between their sizes, and physics beyond.

Beyond the largest and below the smallest size, products of matrices take as much longer or
shorter as the device's own products of so many rows do: with few rows they wait for the
weights, with many for arithmetic (the roofline model, Williams et al. 2009, doi
10.1145/1498765.1498785). Attention grows with the amounts that it computes and reads, which
are quadratic in a prompt. What is paid once, or once a layer, stays what it was at the
smallest size; what it had grown by since then goes on in proportion.

More work never takes less time: with costs that are not negative that holds at each size,
and from size to size the longest time so far counts, whatever noise has said.

What one of each term costs is found by least squares of relative errors. A cost cannot be negative, so
they are non-negative ones (Lawson and Hanson 1974, "Solving Least Squares Problems", chapter 23).
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import TYPE_CHECKING

from hybrid.measuring.device import Machine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Terms = Mapping[str, float]  # amounts of work by name
Points = Sequence[tuple[float, float]]  # (where, value), in this order
PAIR_FLOPS = 4  # of a pair of tokens, per column of the heads: the score and the sum over values
_PER_WEIGHT = frozenset(("weights", "uncached"))
_PER_SIZE = frozenset(("fixed", "layers", "rows"))  # what is paid once, or for each of these
_PER_ANSWER = frozenset(("past", "cache"))  # what attention reads of each answer's own


@dataclass(frozen=True)
class Costs:
    """What work costs with so many prompts or answers at once, of so many tokens each.

    tokens: of each prompt; 0 where it does not matter, as each answer's next
    token is one. seconds: by term, of one of it.
    """

    batch: int
    tokens: int
    seconds: Mapping[str, float]

    def of(self, terms: Terms) -> float:
        """Seconds of these terms."""
        return sum(self.seconds.get(name, 0.0) * amount for name, amount in terms.items())


@dataclass(frozen=True)
class Products:
    """How the device's own products grow. points: seconds of one weight by its rows. pair_s: of one pair."""

    points: Points
    pair_s: float

    @classmethod
    def of(cls, machine: Machine) -> "Products":
        """Take a machine's measured rates."""
        points = [(rows, 2 * rows / rate) for rows, rate in machine.rates]
        return cls(points, PAIR_FLOPS / max(rate for _, rate in machine.rates))

    def seconds(self, rows: float) -> float:
        """Seconds of one weight with so many rows; beyond those that were measured in proportion."""
        (least, _), (most, _) = self.points[0], self.points[-1]
        inside = min(max(rows, least), most)
        return along(self.points, inside) * max(1.0, rows / most)


def between(costs: Sequence[Costs], size: tuple[float, float], terms: Terms, products: Products) -> float:
    """Seconds of these terms at any size, (prompts at once, tokens of each), from the sizes around it.

    costs: by batch, in it by tokens, in this order. terms: of that size.
    """
    batch, tokens = size
    groups = [(at, list(group)) for at, group in groupby(costs, key=lambda at_size: at_size.batch)]
    near = min(max(batch, groups[0][0]), groups[-1][0])
    lines = []
    for at, group in groups:
        inside = min(max(tokens, group[0].tokens), group[-1].tokens)
        beyond = batch / near, tokens / inside if inside else 1.0
        line = [(at_size.tokens, _stretched(at_size, costs[0], terms, beyond, products)) for at_size in group]
        lines.append((at, along(line, inside)))
    return along(lines, near)


def along(points: Points, at: float) -> float:
    """Return the value at `at`, between the first and the last of the points, on a log-log scale.

    No value counts for less than those before it.
    """
    values = list(accumulate((value for _, value in points), max))
    index = bisect_left([where for where, _ in points], at)
    if points[index][0] == at:
        return values[index]
    low, high = points[index - 1][0], points[index][0]
    least, most = values[index - 1], values[index]
    if least <= 0:
        return most * (at - low) / (high - low)
    share = math.log(at / low) / math.log(high / low)
    return math.exp((1 - share) * math.log(least) + share * math.log(most))


def _stretched(
    measured: Costs, least: Costs, terms: Terms, beyond: tuple[float, float], products: Products
) -> float:
    """Seconds by the costs of one size. least: of the smallest size.

    beyond: how many times as many prompts, and tokens, as measured.
    """
    batch, tokens = beyond
    if beyond == (1.0, 1.0):
        return measured.of(terms)
    rows = measured.batch * max(measured.tokens, 1)
    grown = dict(terms)
    for name in _PER_WEIGHT & grown.keys():
        grown[name] *= products.seconds(rows * batch * tokens) / products.seconds(rows)
    for name in _PER_ANSWER & grown.keys():
        grown[name] *= batch
    # Where small models did not tell what a pair of tokens costs, arithmetic still bounds it.
    pairs = terms.get("pairs", 0.0) * max(0.0, 1 - 1 / tokens**2)
    extra = pairs * max(0.0, products.pair_s - measured.seconds.get("pairs", 0.0))
    for name in _PER_SIZE & grown.keys():
        grew = max(0.0, measured.seconds.get(name, 0.0) - least.seconds.get(name, 0.0))
        extra += grew * terms[name] * (batch * tokens - 1)
    return measured.of(grown) + extra


@dataclass(frozen=True)
class Sample:
    """One measured time. size: prompts at once, tokens of each. scale: what its error is relative to."""

    size: tuple[int, int]
    terms: Terms
    seconds: float
    scale: float


def fitted(samples: Sequence[Sample], shared: Sequence[str] = ()) -> tuple[Costs, ...]:
    """Costs for each size, all found at once. shared: terms that cost the same at any size."""
    import numpy as np  # only where a device is calibrated, here and below

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
    costs = nonnegative(matrix, np.array([sample.seconds / sample.scale for sample in samples]))
    return tuple(Costs(*size, {name: float(costs[place(name, size)]) for name in names}) for size in sizes)


def nonnegative(matrix: "Array", target: "Array") -> "Array":
    """Find the x >= 0 for which matrix @ x comes nearest to `target`."""
    import numpy as np

    scale = np.abs(matrix).max(axis=0)
    scale[scale == 0] = 1.0
    scaled = matrix / scale
    x = np.zeros(scaled.shape[1])
    free = np.zeros(len(x), dtype=bool)
    for _ in range(3 * len(x)):
        gain = scaled.T @ (target - scaled @ x)
        gain[free] = -np.inf
        if gain.max(initial=-np.inf) <= 1e-10:
            break
        free[int(gain.argmax())] = True
        x = _inside(scaled, target, x, free)
    return np.asarray(x / scale, dtype=np.float64)


def _inside(matrix: "Array", target: "Array", x: "Array", free: "NDArray[np.bool_]") -> "Array":
    """Least squares over the columns that are `free`, of which those that would turn negative are not."""
    import numpy as np

    while True:
        best = np.zeros(len(x))
        best[free] = np.linalg.lstsq(matrix[:, free], target, rcond=None)[0]
        below = free & (best <= 0)
        if not below.any():
            return best
        step = (x[below] / (x[below] - best[below])).min()
        x = x + step * (best - x)
        free &= x > 1e-14
        x[~free] = 0.0
