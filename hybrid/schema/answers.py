"""What is answered, and how: sampling, examples, steps, generations, scores and statistics."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from operator import gt, itemgetter

from hybrid.schema.systems import FinishReason, Phase, System


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen and when to stop. Engines decode greedily.

    max_new_tokens: upper bound on generated ids, the end-of-sequence id included.
    ignore_eos: decode exactly max_new_tokens, for fixed-length timing.
    truncate: cut a prompt that is too long instead of raising PromptTooLong.
    """

    max_new_tokens: int = 128
    ignore_eos: bool = False
    truncate: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1")


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as ids, ready for an engine. truncated: only the beginning of the text is in it."""

    token_ids: tuple[int, ...]
    truncated: bool = False


@dataclass(frozen=True)
class Step:
    """One phase boundary reached by an engine that answers B prompts at once; the clock stands outside.

    phase: the phase that has just ended.
    token_ids: for each of the B rows, the ids generated in this phase (prefill
        yields each row's first one); empty for a row that has finished.
    drafted, accepted: ids that a draft proposed and the LLM agreed with, B each, set by verify.
    """

    phase: Phase
    token_ids: tuple[tuple[int, ...], ...] = ()
    drafted: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Timing:
    """Raw times of one generation, in seconds.

    phases: total time per phase; their sum is `total_s`. The rows of a batch
        share them: each waits for the whole batch.
    token_times_s: for each generated id, seconds from the start of the request
        to the moment it was known.
    disturbed: the process was stopped or starved meanwhile, so that these are not
        the system's own times: what is made of times leaves them out.
    tokens: how many ids there were, of a private run, which keeps only the first and the last of
        token_times_s; 0 where all are kept.
    """

    phases: Mapping[Phase, float]
    token_times_s: tuple[float, ...]
    disturbed: bool = False
    tokens: int = 0

    @property
    def total_s(self) -> float:
        """End-to-end latency: tokenize to detokenize."""
        return sum(self.phases.values())

    @property
    def ttft_s(self) -> float:
        """Time to first token, from the start of the request."""
        return self.token_times_s[0]

    @property
    def tpot_s(self) -> float | None:
        """Time per output token after the first; None when there was only one."""
        n = self.tokens or len(self.token_times_s)
        return (self.token_times_s[-1] - self.token_times_s[0]) / (n - 1) if n > 1 else None


PAUSE_S = 1.0  # between two tokens; of a slow model every gap is as long
PAUSE_RATIO = 20  # of that gap to the median one


def paused(token_times_s: Sequence[float]) -> bool:
    """Tell whether one gap between tokens is a second or more, and far longer than the others: a stop."""
    if len(token_times_s) < 3 or token_times_s[-1] - token_times_s[0] < PAUSE_S:
        return False
    gaps = sorted(after - before for before, after in pairwise(token_times_s) if after > before)
    return len(gaps) > 1 and gaps[-1] >= max(PAUSE_S, PAUSE_RATIO * gaps[(len(gaps) - 1) // 2])


@dataclass(frozen=True)
class Withheld:
    """What a private run stores in the place of an answer's text and ids.

    digest: keyed, see hybrid.store.private: the same for the same text of the same example.
    characters: of the text. tokens: ids, the end-of-sequence id included.
    """

    digest: str
    characters: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One answer of one system, with its raw times. token_ids include the end-of-sequence id.

    withheld: of a private run, whose text and token_ids are empty.
    drafted, accepted: ids that a draft proposed, and how many of them the LLM
    agreed with; 0 where nothing is drafted or nobody counts.
    """

    system: System
    text: str
    token_ids: tuple[int, ...]
    prompt_tokens: int
    finish_reason: FinishReason
    timing: Timing
    drafted: int = 0
    accepted: int = 0
    withheld: Withheld | None = None

    @property
    def identity(self) -> str:
        """What answers to one example are told apart by: the text, or what stands for it."""
        return self.withheld.digest if self.withheld else self.text

    @property
    def characters(self) -> int:
        """How long the text is."""
        return self.withheld.characters if self.withheld else len(self.text)

    @property
    def output_tokens(self) -> int:
        """How many ids the answer has, the end-of-sequence id included."""
        return self.withheld.tokens if self.withheld else len(self.token_ids)


@dataclass(frozen=True)
class Example:
    """One text and what is known to answer it.

    id: unique in its suite. domain: the part of the suite it belongs to.
    references: at least one. Of a private run only the id is known, which stands for all of it, and
    trivial: what systems without a model answer, by name.
    """

    id: str
    domain: str
    source: str
    references: tuple[str, ...]
    trivial: Mapping[str, "TrivialAnswer"] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class TrivialAnswer:
    """What is stored of what a system without a model answers to an example that is withheld.

    statistics: by metric.
    """

    withheld: Withheld
    statistics: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Suite:
    """Examples of one task. name: what loads it; licence: of its texts, as their source states it."""

    name: str
    task: str
    licence: str
    examples: tuple[Example, ...]

    @property
    def content_hash(self) -> str:
        """SHA-256 over task and examples in order: the same hash, the same texts."""
        rows = [[e.id, e.domain, e.source, *e.references] for e in self.examples]
        return hashlib.sha256(json.dumps([self.task, rows], ensure_ascii=False).encode()).hexdigest()


@dataclass(frozen=True)
class Score:
    """One corpus-level score. value: in the metric's own unit; signature: how it was computed."""

    metric: str
    value: float
    n: int
    signature: str


BLEU_ORDER = 4  # sacrebleu.metrics.bleu.MAX_NGRAM_ORDER
CHRF_ORDER = 6  # sacrebleu.metrics.chrf.CHRF.CHAR_ORDER


@dataclass(frozen=True)
class StatisticsShape:
    """What one answer adds to the sums of a metric, and cannot exceed; none is ever negative.

    hybrid.metrics computes them, hybrid.store refuses what cannot have been computed.
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
# Answers have the fault or not, see hybrid.metrics.contract.Check.
_CHECKS = (
    "invented_numbers", "lost_numbers", "invented_names", "lost_names", "copies", "repeating", "empty",
    "unfinished", "wrong_language", "off_length",
)  # fmt: skip

STATISTICS: Mapping[str, StatisticsShape] = {
    "bleu": StatisticsShape(2 + 2 * BLEU_ORDER, tuple((n, n + BLEU_ORDER) for n in _GRAMS)),
    "chrf": StatisticsShape(3 * CHRF_ORDER, tuple((n + 2, whole) for n in _CHRF for whole in (n, n + 1))),
    "ter": StatisticsShape(2),
    "rougeL": _F1,
    "rouge1": _F1,
    "rouge2": _F1,
    "length": StatisticsShape(2),
    "repetition": StatisticsShape(2, ((0, 1),)),
    "repetition3": StatisticsShape(2, ((0, 1),)),
    "coverage": StatisticsShape(1, largest=1.0),
    "density": StatisticsShape(1),
    "compression": StatisticsShape(2),
    **dict.fromkeys(_CHECKS, StatisticsShape(1, largest=1.0)),
}
