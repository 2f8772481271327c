"""What a metric is: one class, registered in one row of hybrid.metrics.

To add one, subclass Metric, state its attributes, write its methods, and give it
a row in METRICS. Columns, tables, pages, reports and `hybrid score` know it from there.
"""

import math
import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from hybrid.schema import Task, TaskKind

Array = NDArray[np.float64]
# Languages that set no spaces between words, and how Unicode calls their letters: here each is a word.
UNSPACED = frozenset({"zh", "ja", "th", "lo", "km", "my", "bo"})
_UNSPACED_LETTERS = ("CJK ", "HIRAGANA ", "KATAKANA ", "THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ")
USUAL_TOKENIZERS = ("13a", "unicode")  # of languages with spaces: sacrebleu's, and that of ROUGE
# ISO 639-3 and what else BCP 47 allows for the languages that metrics know.
_CODES = {
    "zho": "zh", "chi": "zh", "cmn": "zh", "yue": "zh", "jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo",
    "khm": "km", "mya": "my", "bod": "bo",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """An answer to be scored, and what it is scored by.

    references: at least one; several count as a metric's own authors define it. source: the text that
    was to be answered. language: of the answer, as Task.target_language. source_language: of the
    source, as Task.source_language.
    """

    answer: str
    references: Sequence[str]
    source: str = ""
    language: str = ""
    source_language: str = ""

    @property
    def unspaced(self) -> bool:
        """Whether each letter of the answer's language counts as a word."""
        return is_unspaced(self.language)


class Metric(ABC):
    """How one number is computed, and how to read it.

    A metric splits in two: `statistics` says what one answer contributes, `score`
    turns summed contributions into the score of a corpus, so that any subset or
    resample is scored by summing, without the texts.

    name: its key in METRICS, in stored scores and in columns. label: as people write it.
    unit: "points" (0 to 100; TER may exceed 100) or "ratio". scale: the same in words.
    higher_is_better: None for what has no direction, such as the length ratio, best near 1.
    kinds: of tasks that it can judge. main: whether it decides verdicts and gates of these tasks.
    default: whether every benchmark is scored by it, and every table has its columns;
        others stand where a run was scored by them.
    catches: of a check, which needs no model and no taste, what it catches, in a sentence; else empty.
        Every benchmark is scored by all checks, and their tables stand apart from those of quality.
    live: its place among the scores of a single answer on the page Live; 0 leaves it out.
    unscored: which answers it leaves without a score, in words; empty where it scores all.
    width: how many statistics an answer has.
    version: raised when the same answer gets other statistics.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    unit: ClassVar[Literal["points", "ratio"]] = "points"
    scale: ClassVar[str] = "0 to 100"
    higher_is_better: ClassVar[bool | None] = True
    kinds: ClassVar[tuple[TaskKind, ...]]
    main: ClassVar[bool] = False
    default: ClassVar[bool] = False
    catches: ClassVar[str] = ""
    live: ClassVar[int] = 0
    unscored: ClassVar[str] = ""
    width: ClassVar[int]
    version: ClassVar[int] = 1

    def judges(self, task: Task) -> bool:
        """Tell whether it can judge answers to a task."""
        return task.kind in self.kinds

    @abstractmethod
    def statistics(self, case: Case) -> tuple[float, ...]:
        """Compute the `width` numbers that one answer adds to the sums."""

    @abstractmethod
    def score(self, sums: Array, n: int) -> Array:
        """Compute corpus scores (...) from statistics (..., width) summed over n answers."""

    @abstractmethod
    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Say how the score is computed, in the manner of sacrebleu's signatures.

        reference_counts: the numbers of references that occur. language: of the answers.
        """

    def of_each(self, statistics: Sequence[Sequence[float]]) -> Array:
        """Score each answer alone, to 4 decimals: (N,).

        statistics: of each of N answers. NaN where an answer has none of this metric, or none
        that are numbers, or not as many as this version makes of an answer.
        """
        return self.of_table(self.table(statistics))

    def table(self, statistics: Sequence[Sequence[float]]) -> Array:
        """Write statistics as (N, width); NaN for an answer that has none, or not as many as it should."""
        if {*map(len, statistics)} != {self.width}:
            nothing = (math.nan,) * self.width
            statistics = [row if len(row) == self.width else nothing for row in statistics]
        numbers = chain.from_iterable(statistics)
        return np.fromiter(numbers, np.float64, len(statistics) * self.width).reshape(-1, self.width)

    def of_table(self, table: Array) -> Array:
        """Score each answer alone, as of_each() does, from what table() has written."""
        scores, known = np.full(len(table), np.nan), np.isfinite(table).all(axis=1)
        if known.any():
            scores[known] = rounded(self.score_alone(table[known]))
        return scores

    def score_alone(self, statistics: Array) -> Array:
        """Score answers that each stand for themselves, (..., width) -> (...): as a corpus of one."""
        return self.score(statistics, 1)

    def signature_alone(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Say how score_alone() is computed."""
        return self.signature(reference_counts, language)


class Check(Metric):
    """A fault that an answer has or has not. Statistics: 1 for an answer with it, 0 for one without.

    Its score is the share of answers with the fault.
    fault: what such an answer has, in a few words, as a filter of answers names it.
    """

    scale = "answers in 100"
    higher_is_better = False
    kinds: ClassVar[tuple[TaskKind, ...]] = ("translation", "summary")
    width = 1
    fault: ClassVar[str]

    @abstractmethod
    def has_fault(self, case: Case) -> bool:
        """Tell whether an answer has the fault."""

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Look for the fault."""
        return (float(self.has_fault(case)),)

    def score(self, sums: Array, n: int) -> Array:
        """Compute the share of n answers that have it in points, (..., 1) -> (...)."""
        share: Array = 100 * sums[..., 0] / n
        return share

    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give one in the manner of sacrebleu's."""
        return f"{self.name}|share of answers|lang:{primary(language) or 'unknown'}|version:{self.version}"


def primary(language: str) -> str:
    """Give the language of a tag as its ISO 639-1 code: "zh" of zh-Hant-TW and cmn."""
    code = re.split("[-_]", language, maxsplit=1)[0].lower()
    return _CODES.get(code, code)


def is_unspaced(language: str) -> bool:
    """Tell whether a language is written without spaces between words."""
    return primary(language) in UNSPACED


def words_apart(text: str) -> str:
    """Set spaces around each letter of a script that is written without."""
    return "".join(f" {letter} " if _stands_alone(letter) else letter for letter in text)


@cache
def _stands_alone(letter: str) -> bool:
    return not letter.isascii() and unicodedata.name(letter, "").startswith(_UNSPACED_LETTERS)


def tokenizer_of(signature: str) -> str:
    """Name what told words apart, by a metric's signature; empty for one of none."""
    return next((part[4:] for part in signature.split("|") if part.startswith("tok:")), "")


def reference_count(reference_counts: Iterable[int]) -> str:
    """Give `nrefs` of a signature: the number, or "var" when it varies between examples."""
    counts = set(reference_counts)
    return str(*counts) if len(counts) == 1 else "var"


def rounded(values: Array) -> Array:
    """Round to 4 decimals as round() does it: numpy's differs where a value lies in the middle."""
    near = np.round(values, 4)
    middles = np.flatnonzero(np.abs(np.abs(values - near) - 5e-5) < 1e-9)
    near[middles] = [round(value, 4) for value in values[middles].tolist()]
    return near
