"""sacrebleu's TER, with the edit distances of all candidate shifts computed at once.

sacrebleu tries up to 1,000 shifts of a text one by one in Python, which takes
seconds for a long answer of shuffled words. Here the same candidates, in the
same order and with the same ties, are scored together within the beam, and those of a
round that sacrebleu computes and then throws away are not scored at all. The result
is the same number: the tests compare both on real, shuffled and degenerate texts.
A text longer than MOST_WORDS has no TER: rounds of shifts would take seconds there, too.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics import lib_ter
from sacrebleu.metrics.ter import TER

Candidate = tuple[int, int, int, list[str]]  # length, -start, -target, shifted words: its rank in a tie
MOST_WORDS = 512  # of an answer or a reference: up to here it takes less than a second
_INFINITY = 1 << 30


class BatchedTER(TER):
    """TER with sacrebleu's defaults and results."""

    def _compute_segment_statistics(
        self, hypothesis: str, ref_kwargs: Mapping[str, Sequence[list[str]]]
    ) -> list[float]:
        """Count edits and words; NaN for both where a text is longer than MOST_WORDS."""
        words, references = hypothesis.split(), ref_kwargs["ref_words"]
        if max(len(words), *map(len, references)) > MOST_WORDS:
            return [math.nan, math.nan]
        edits = min(_edits(words, reference) for reference in references)
        return [edits, sum(map(len, references)) / len(references)]


def _edits(words: list[str], reference: list[str]) -> int:
    """Shifts and edits from `words` to `reference`: lib_ter.translation_edit_rate."""
    if not reference:
        return len(words)
    distance = lib_ter.BeamEditDistance(reference)
    shifts = checked = 0
    while True:
        before, trace = distance(words)
        candidates = list(_candidates(words, reference, trace, lib_ter._MAX_SHIFT_CANDIDATES - checked))
        checked += len(candidates)
        if not candidates or checked >= lib_ter._MAX_SHIFT_CANDIDATES:  # this round's shift is not applied
            return shifts + int(before)
        after = _distances([candidate[3] for candidate in candidates], reference)
        gain, best = max(zip((before - after).tolist(), candidates, strict=True))
        if gain <= 0:
            return shifts + int(before)
        shifts, words = shifts + 1, best[3]


def _candidates(words: list[str], reference: list[str], trace: str, limit: int) -> Iterator[Candidate]:
    """Shifts worth trying, until `limit` is reached: the loop of lib_ter._shift."""
    align, reference_errors, errors = lib_ter.trace_to_alignment(trace.translate(lib_ter._FLIP_OPS))
    count = 0
    for start, place, length in _matches(words, reference):
        if not any(errors[start : start + length]) or not any(reference_errors[place : place + length]):
            continue
        if start <= align[place] < start + length:
            continue
        previous = -1
        for offset in range(-1, length):
            if place + offset == -1:
                target = 0
            elif place + offset in align:
                target = align[place + offset] + 1
            else:
                break
            if target != previous:
                previous = target
                count += 1
                yield length, -start, -target, lib_ter._perform_shift(words, start, length, target)
        if count >= limit:
            return


def _matches(words: list[str], reference: list[str]) -> Iterator[tuple[int, int, int]]:
    """Start in both and length of runs that they share, not too far apart: lib_ter._find_shifted_pairs."""
    reach = lib_ter._MAX_SHIFT_DIST
    for start in range(len(words)):
        for place in range(max(0, start - reach), min(len(reference), start + reach + 1)):
            longest = min(lib_ter._MAX_SHIFT_SIZE, len(words) - start, len(reference) - place)
            for length in range(longest):
                if words[start + length] != reference[place + length]:
                    break
                yield start, place, length + 1


def _distances(candidates: Sequence[list[str]], reference_words: list[str]) -> NDArray[np.int64]:
    """Edit distances of C texts of equal length, (C,): lib_ter.BeamEditDistance without the trace.

    Of each row only what lies within the beam is computed.
    """
    known = {word: number for number, word in enumerate(dict.fromkeys(reference_words))}
    texts = np.array([[known.get(word, -1) for word in text] for text in candidates])  # (C, W)
    reference = np.array([known[word] for word in reference_words])  # (V,)
    count, columns = texts.shape
    width = len(reference) + 1
    ratio = len(reference) / columns
    beam = lib_ter._BEAM_WIDTH
    if beam < ratio / 2:
        beam = math.ceil(ratio / 2 + beam)
    steps = np.arange(width)
    row = np.tile(steps, (count, 1))  # (C, V + 1): nothing read yet, so only insertions
    buffers = np.full((2, *row.shape), _INFINITY)  # of this row and the one before
    lows = [0, 0]  # where the beam began in each
    for i in range(1, columns + 1):
        middle = math.floor(i * ratio)
        low, high = max(0, middle - beam), min(width, middle + beam)
        high = width if i == columns else high
        changed = row[:, low:high] + 1  # a word deleted
        first = max(low, 1)  # the reference's first word is in column 1
        matched = row[:, first - 1 : high - 1] + (texts[:, i - 1, None] != reference[first - 1 : high - 1])
        changed[:, first - low :] = np.minimum(changed[:, first - low :], matched)
        # A word inserted costs 1 each: the smallest of the cells to the left plus the way from there.
        row = buffers[i % 2]
        row[:, low:high] = np.minimum.accumulate(changed - steps[low:high], axis=1) + steps[low:high]
        row[:, lows[i % 2] : low] = _INFINITY
        lows[i % 2] = low
    return row[:, -1]
