"""What work costs at any size: between the sizes that were measured by interpolation, beyond them by physics.

Beyond the largest and below the smallest size, products of matrices take as much longer or
shorter as the device's own products of so many rows do: with few rows they wait for the
weights, with many for arithmetic (the roofline model, Williams et al. 2009, doi
10.1145/1498765.1498785). Attention grows with the amounts that it computes and reads, which
are quadratic in a prompt. What is paid once, or once a layer, stays what it was at the
smallest size; what it had grown by since then goes on in proportion.

More work never takes less time: with costs that are not negative that holds at each size,
and from size to size the longest time so far counts, whatever noise has said.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from hybrid.measuring.device import Machine
from hybrid.sizing.cost_features import Terms

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
