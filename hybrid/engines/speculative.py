"""Greedy speculative decoding: a cheap drafter proposes ids, the LLM verifies them all in one pass.

    written: w1 .. wn      drafter: d1 .. dk       verifier reads wn d1 .. dk, says v0 v1 .. vk
    accepted: the first m drafted ids that it says itself, d1 = v0 .. dm = v(m-1)
    written next: w1 .. wn d1 .. dm vm             m + 1 ids for one pass of the LLM

The ids are the LLM's own greedy ones whatever the drafter says, which decides
only how fast they come (Leviathan et al. 2022, arXiv 2211.17192, its greedy
case). Exactly so as long as one pass over several tokens rounds like one pass
over each: where the LLM finds two ids equally good within rounding, either may come.

Nothing here knows what computes. A backend brings two `DraftableDecoder`s, each
has taken the prompt, and the Steps are forwarded (decoding.py):

    llm.prefill(states, sampling.max_new_tokens)
    yield from speculate(llm, DecoderDrafter(small, eos), sampling, eos)             # or, without a model:
    yield from speculate(llm, LookupDrafter(prompt_ids, eos), sampling, eos, DraftLength(0.05))

The first Step, `prefill`, asks nothing of the drafter. So its decoder may take
the prompt after it, and the first id comes as early as the LLM's own. With
`from_start` the first pass verifies a draft like all others, which saves one
pass an answer: the answer ends earlier, the first id comes later, and with it
others. Each answer needs a new drafter and a new DraftLength.

How much to draft: a decoder knows how sure it is of an id and ends a draft by
itself once MIN_DRAFT_PROBABILITY is reached. Where nobody knows, a DraftLength learns it from
what was accepted.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from hybrid.engines.generation import until
from hybrid.schema import Phase, Sampling, Step

LONGEST_DRAFT = 16
S = TypeVar("S", contravariant=True)  # a prompt as a backend has encoded it

# A draft ends with the id that brings the product of its ids' probabilities, by the drafter itself, below
# this. On the bundled pair that gave 9 % more ids per cost than the best rule that knows only how many ids
# were accepted: 99 % are where the hybrid is 80 % sure, 36 % where it is less than 20 % sure.
MIN_DRAFT_PROBABILITY = 0.1


class DraftableDecoder(Protocol[S]):
    """A greedy decoder of one prompt that takes several ids in one pass and can go back.

    start: the id that stands at position 0; the answer's first id stands at 1.
    vocabulary: how many ids it knows.
    """

    @property
    def start(self) -> int: ...

    @property
    def vocabulary(self) -> int: ...

    def prefill(self, states: S, capacity: int) -> None:
        """Take a new prompt, encoded; capacity: positions that may be used, the start's included.

        The work may be left to the first pass.
        """

    def verify(self, tokens: Sequence[int], position: int) -> list[int]:
        """Give the greedy id after each of `tokens`, which stand at `position`, `position` + 1 and so on.

        What the cache held from `position` on is overwritten: that is the rewind.
        """

    def draft(self, token: int, position: int, count: int) -> list[int]:
        """Give up to `count` greedy ids one after another, at least one; `token` stands at `position`.

        It ends early with an end-of-sequence id, and should once it is
        improbable, see MIN_DRAFT_PROBABILITY.
        """


class Drafter(Protocol):
    """What guesses how an answer goes on."""

    def propose(self, written: Sequence[int], count: int) -> list[int]:
        """Up to `count` ids that may follow `written`, all that is written so far; perhaps none.

        Nothing follows an end-of-sequence id within a draft.
        """


def speculate(
    verifier: DraftableDecoder[Any],
    drafter: Drafter,
    sampling: Sampling,
    eos: Collection[int],
    length: "DraftLength | None" = None,
    from_start: bool = False,
) -> Iterator[Step]:
    """Answer the prompt that `verifier` has taken: Steps prefill, then draft and verify in turn.

    Their token_ids are those that `verifier` gives one at a time, up to one of
    `eos` or sampling.max_new_tokens. verify tells how many ids were drafted and accepted.

    length: how many to ask for; None for LONGEST_DRAFT, where the drafter ends
    drafts itself. from_start: draft before the first pass, too; prefill then has
    a draft before it, tells what verify tells and may give several ids.
    """
    stop = () if sampling.ignore_eos else eos
    written: list[int] = []
    while (room := sampling.max_new_tokens - len(written)) and not (written and written[-1] in stop):
        drafted: list[int] = []
        if drafting := from_start or bool(written):
            # One id comes from the verifier itself.
            if count := min(LONGEST_DRAFT if length is None else length.count, room - 1):
                drafted = [*until(stop, drafter.propose(written, count))]  # a model's own ends may be others
            yield Step("draft")
        # What would follow the end is not asked for.
        read = drafted[:-1] if drafted and drafted[-1] in stop else drafted
        greedy = verifier.verify([*(written[-1:] or [verifier.start]), *read], len(written))
        accepted = common_prefix(drafted, greedy)
        new = greedy[: accepted + 1]
        if length is not None:
            length.observe(len(drafted), accepted)
        phase: Phase = "verify" if written else "prefill"
        written += new
        counts = ((len(drafted),), (accepted,)) if drafting else ((), ())
        yield Step(phase, (tuple(new),), drafted=counts[0], accepted=counts[1])


class DecoderDrafter:
    """Drafts with a decoder that has taken the prompt; its cache follows what was really written."""

    def __init__(self, decoder: DraftableDecoder[Any], eos: Collection[int]) -> None:
        self._decoder, self._eos = decoder, eos
        self._cached: list[int] = []  # the ids by position that the decoder's cache stands for

    def propose(self, written: Sequence[int], count: int) -> list[int]:
        answer = [self._decoder.start, *written]
        # After a wrong id its place is written anew; after a draft without one, the cache lacks its last id.
        known = min(common_prefix(self._cached, answer), len(answer) - 1)
        if known == len(answer) - 1:
            drafted = self._decoder.draft(answer[-1], known, count)
        else:
            drafted = self._decoder.verify(answer[known:], known)[-1:]
            if count > 1 and drafted[0] not in self._eos:
                drafted += self._decoder.draft(drafted[0], len(answer), count - 1)
        self._cached = [*answer, *drafted[:-1]]
        return drafted


class LookupDrafter:
    """Drafts what followed the last ids where they stood before, in the prompt or the answer.

    Prompt lookup (Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding):
    no model, good where answers quote.

    sizes: how many ids must agree, the first that do anywhere; of several places
    the first counts. That a single one agrees says too little: on the bundled pair
    it makes summaries 6 % slower and translations 4 %.
    """

    def __init__(
        self, prompt_ids: Sequence[int], eos: Collection[int], sizes: Sequence[int] = (3, 2)
    ) -> None:
        self._prompt, self._eos, self._sizes = list(prompt_ids), eos, sizes

    def propose(self, written: Sequence[int], count: int) -> list[int]:
        seen = [*self._prompt, *written]
        for size in self._sizes:
            last = seen[-size:]
            for start in range(len(seen) - size):
                if seen[start : start + size] == last:
                    return [*until(self._eos, seen[start + size : start + size + count])]
        return []


class DraftLength:
    """How many ids to draft next: what gives the most ids per cost at the acceptance seen so far.

    If each drafted id is accepted with probability a, a pass writes on average
    (1 - a^(k+1)) / (1 - a) ids (Leviathan et al., equation 1), for 1 + k * cost.

    cost: of drafting and verifying one id more, over that of one id by the LLM alone.
    """

    def __init__(self, cost: float, longest: int = LONGEST_DRAFT) -> None:
        self._cost, self._longest = cost, longest
        self._accepted, self._judged = 3.0, 4.0  # as if so many had been seen before the first

    @property
    def count(self) -> int:
        rate, ids, chance = self._accepted / self._judged, 1.0, 1.0
        best, best_worth = 1, 0.0
        for k in range(1, self._longest + 1):
            chance *= rate
            ids += chance
            worth = ids / (1 + k * self._cost)
            if worth > best_worth:
                best, best_worth = k, worth
        return best

    def observe(self, drafted: int, accepted: int) -> None:
        """Learn from a verified draft; ids after the first wrong one say nothing."""
        self._accepted += accepted
        self._judged += min(accepted + 1, drafted)


def common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """How many ids two sequences begin with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b),
        min(len(first), len(second)),
    )
