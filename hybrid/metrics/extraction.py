"""What an answer copies: extractive fragments, and answers that are hardly anything else."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from hybrid.metrics.contract import Array, Case, Check, Metric, is_unspaced, primary, words_apart


class Copies(Check):
    """A translation that is left in the source's language, a summary that is a piece of the document."""

    name, label = "copies", "Copies"
    catches = (
        "Translations of which half or more is the source's own words, three or more in a row; and summaries "
        "that are one stretch of the document, but for one word in ten."
    )
    fault = "copied source"

    def has_fault(self, case: Case) -> bool:
        """Compare words, whatever their case; names, quotes, code and addresses may be copied."""
        if primary(case.source_language) != primary(case.language):
            return _is_untranslated(case.answer, case.source, case.unspaced)
        return _is_stretch(words(case.answer, case.unspaced), words(case.source, case.unspaced))


class Fragments(Metric):
    """Statistics of extractive fragments: Grusky et al. 2018, "Newsroom" (arXiv 1804.11283), section 4.1.

    Fragments are the longest runs of words that an answer shares with its document, from left to right.
    """

    higher_is_better = None
    kinds = ("summary",)
    unit = "ratio"
    width = 1

    def score(self, sums: Array, n: int) -> Array:
        """Compute the mean of n answers, (..., 1) -> (...)."""
        mean: Array = sums[..., 0] / n
        return mean

    def signature(self, reference_counts: Iterable[int], language: str = "") -> str:
        """Give one in the manner of sacrebleu's."""
        unspaced = "-letters" if is_unspaced(language) else ""
        return f"{self.name}|fragments:greedy|case:lower|tok:unicode{unspaced}|version:{self.version}"


class Coverage(Fragments):
    """The share of an answer's words that lie in fragments; 0 for an answer without words."""

    name, label = "coverage", "Coverage"
    scale = "share of an answer's words that its document has, 0 to 1"
    catches = (
        "How much of the summaries is the document's own words: the share of words in extractive fragments."
    )

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Add up the lengths of the fragments."""
        fragments, length = _fragments(case.answer, case.source, case.unspaced)
        return (sum(fragments) / max(length, 1),)


class Density(Fragments):
    """The mean length of the fragment that a word lies in; 0 for an answer without words."""

    name, label = "density", "Density"
    scale = "words of the fragment that a word of an answer lies in"
    catches = "How long the copied runs are: the mean number of words of the fragment that a word lies in."

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Add up the squares of the fragments' lengths."""
        fragments, length = _fragments(case.answer, case.source, case.unspaced)
        return (sum(size * size for size in fragments) / max(length, 1),)


class Compression(Fragments):
    """Words of the documents over words of the answers, both summed: an empty answer has its place."""

    name, label = "compression", "Compression"
    scale = "words of the documents over words of the answers"
    catches = "How much shorter than their documents the summaries are."
    width = 2

    def statistics(self, case: Case) -> tuple[float, ...]:
        """Count the words of both."""
        return float(len(words(case.source, case.unspaced))), float(len(words(case.answer, case.unspaced)))

    def score(self, sums: Array, n: int) -> Array:
        """Compute (..., 2) -> (...); of answers without a word, as if they had one together."""
        ratio: Array = sums[..., 0] / np.maximum(sums[..., 1], 1)
        return ratio


_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
QUOTED = r"`[^`]*`|[\"“„»«][^\"“”„»«]*[\"“”»«]"  # code and quotes
_VERBATIM = re.compile(rf"{QUOTED}|\b(?:https?://|www\.)\S+|(?<!\S)[^\s@]+@\S+")
_SHORTEST = 5  # words of a summary that may be called a copy: fewer are a name or a phrase


@lru_cache(maxsize=256)
def words(text: str, apart: bool = False) -> tuple[str, ...]:
    """List runs of letters and digits, "people's" in one, in small letters; unspaced letters one by one."""
    return tuple(_WORD.findall((words_apart(text) if apart else text).lower()))


def _is_untranslated(answer: str, source: str, apart: bool) -> bool:
    """Tell whether half of the words stand in runs of three that the source has, none of them all names."""
    text = _VERBATIM.sub(" ", answer)
    spelled = _WORD.findall(words_apart(text) if apart else text)
    copied = place = 0
    for length in _runs(tuple(word.lower() for word in spelled), words(source, apart)):
        if length >= 3 and any(word[0].islower() for word in spelled[place : place + length]):
            copied += length
        place += max(length, 1)
    return copied > 0 and 2 * copied >= len(spelled)


def _is_stretch(answer: tuple[str, ...], source: tuple[str, ...]) -> bool:
    """Tell whether the answer is one stretch of the source, but for one word in ten, one at the least."""
    if len(answer) < _SHORTEST:
        return False
    edits = max(1, len(answer) // 10)
    runs = _runs(answer, source)
    # Edits part the answer into edits + 1 runs at the most, so that few answers need the distance itself.
    if sum(runs) < len(answer) - edits or max(runs) * (edits + 1) < len(answer) - edits:
        return False
    return _distance(answer, source) <= edits


def _distance(answer: tuple[str, ...], source: tuple[str, ...]) -> int:
    """Count the edits between the answer and that stretch of the source which is nearest to it.

    Sellers 1980, "The theory and computation of evolutionary distances": the edit distance that may begin
    and end anywhere in the source.
    """
    numbers = {word: number for number, word in enumerate(dict.fromkeys(source))}
    places = np.array([numbers[word] for word in source])
    steps = np.arange(len(source) + 1)
    row = np.zeros(len(source) + 1, dtype=np.int64)
    for place, word in enumerate(answer, start=1):
        below = np.minimum(row[:-1] + (places != numbers.get(word, -1)), row[1:] + 1)
        row = np.concatenate(([place], below))
        row = np.minimum.accumulate(row - steps) + steps
    return int(row.min())


@lru_cache(maxsize=256)
def _fragments(answer: str, source: str, apart: bool) -> tuple[tuple[int, ...], int]:
    """Give the lengths of the fragments that an answer shares with a source, and its number of words."""
    spelled = words(answer, apart)
    return tuple(length for length in _runs(spelled, words(source, apart)) if length), len(spelled)


@lru_cache(maxsize=256)
def _runs(answer: tuple[str, ...], source: tuple[str, ...]) -> tuple[int, ...]:
    """Part an answer into the longest runs that the source has, from left to right; 0 for a word it lacks."""
    lengths = _longest(answer, source)
    runs, place = [], 0
    while place < len(answer):
        runs.append(lengths[place])
        place += max(lengths[place], 1)
    return tuple(runs)


def _longest(answer: Sequence[str], source: Sequence[str]) -> list[int]:
    """Compute for each place of the answer how many words from there on stand in the source, too.

    Both are read backwards, so that the longest run up to a word, which the automaton knows, begins there.
    """
    links, lengths, ways = _automaton(tuple(source))
    longest, state, length = [], 0, 0
    for word in reversed(answer):
        while state and word not in ways[state]:
            state = links[state]
            length = lengths[state]
        if word in ways[state]:
            state, length = ways[state][word], length + 1
        longest.append(length)
    return longest[::-1]


@lru_cache(maxsize=16)  # a source is compared with what every system has made of it
def _automaton(source: tuple[str, ...]) -> tuple[list[int], list[int], list[dict[str, int]]]:
    """Build the suffix automaton of a source read backwards (Blumer et al. 1985), in linear time.

    Gives each state's suffix link, the length of its longest run, and where its words lead.
    """
    links, lengths, ways, last = [-1], [0], [dict[str, int]()], 0
    for word in reversed(source):
        state, before = len(links), last
        links.append(0)
        lengths.append(lengths[last] + 1)
        ways.append({})
        while before >= 0 and word not in ways[before]:
            ways[before][word] = state
            before = links[before]
        if before >= 0:
            after = ways[before][word]
            if lengths[after] == lengths[before] + 1:
                links[state] = after
            else:
                twin = len(links)
                links.append(links[after])
                lengths.append(lengths[before] + 1)
                ways.append({**ways[after]})
                while before >= 0 and ways[before].get(word) == after:
                    ways[before][word] = twin
                    before = links[before]
                links[after] = links[state] = twin
        last = state
    return links, lengths, ways
