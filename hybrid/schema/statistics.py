"""What one answer adds to the sums of each metric: how many numbers, and what they cannot exceed.

hybrid.metrics computes them, hybrid.store refuses what cannot have been computed.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import gt, itemgetter

BLEU_ORDER = 4  # sacrebleu.metrics.bleu.MAX_NGRAM_ORDER
CHRF_ORDER = 6  # sacrebleu.metrics.chrf.CHRF.CHAR_ORDER


@dataclass(frozen=True)
class StatisticsShape:
    """Of one metric; none is ever negative.

    width: how many. bounds: pairs of places; the first, such as matches, is at most the second.
    largest: that any of them can be; None where nothing bounds it.
    """

    width: int
    bounds: tuple[tuple[int, int], ...] = ()
    largest: float | None = None

    def holds(self, values: Sequence[float]) -> bool:
        """Tell whether an answer can have these statistics."""
        if len(values) != self.width or (self.largest is not None and max(values) > self.largest):
            return False
        if not self.bounds:
            return True
        parts, wholes = self._pick
        return not any(map(gt, parts(values), wholes(values)))

    def all_hold(self, rows: Sequence[Sequence[float]]) -> bool:
        """Tell whether all rows are statistics that an answer can have, column by column: far faster."""
        if {*map(len, rows)} != {self.width}:
            return not rows
        columns = list(zip(*rows, strict=True))
        if any(any(map(gt, columns[part], columns[whole])) for part, whole in self.bounds):
            return False
        return self.largest is None or max(map(max, columns)) <= self.largest

    @cached_property
    def _pick(self) -> tuple[Callable[[Sequence[float]], tuple[float, ...]], ...]:
        """Pick the parts and the wholes of a row; the first once more, as one place alone gives no tuple."""
        parts, wholes = zip(*self.bounds, self.bounds[0], strict=True)
        return itemgetter(*parts), itemgetter(*wholes)


_GRAMS = range(2, 2 + BLEU_ORDER)  # matches, and behind them the totals
_CHRF = range(0, 3 * CHRF_ORDER, 3)  # of each order those of the answer, of the reference, shared
_F1 = StatisticsShape(1, largest=1.0)

STATISTICS: Mapping[str, StatisticsShape] = {
    "bleu": StatisticsShape(2 + 2 * BLEU_ORDER, tuple((n, n + BLEU_ORDER) for n in _GRAMS)),
    "chrf": StatisticsShape(3 * CHRF_ORDER, tuple((n + 2, whole) for n in _CHRF for whole in (n, n + 1))),
    "ter": StatisticsShape(2),
    "rougeL": _F1,
    "rouge1": _F1,
    "rouge2": _F1,
    "length": StatisticsShape(2),
    "repetition": StatisticsShape(2, ((0, 1),)),
}
