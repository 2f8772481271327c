"""Drafts change how fast the ids come, never which: with decoders made of tables, without any engine."""

import random
from collections.abc import Callable, Sequence

import pytest

from hybrid.engines.speculative import (
    LONGEST_DRAFT,
    DecoderDrafter,
    DraftLength,
    LookupDrafter,
    speculate,
)
from hybrid.schema import Sampling, Step

START, EOS, VOCABULARY = 0, 1, 12
ENDS = (EOS,)
Rule = Callable[[tuple[int, ...]], int]


class Table:
    """A DraftableDecoder that knows the id after each prefix by a rule, and holds callers to the protocol.

    Like a cache, it remembers which ids it was given; what stands there must be what really came before.
    """

    start, vocabulary = START, VOCABULARY

    def __init__(self, rule: Rule, patience: int = LONGEST_DRAFT) -> None:
        self.rule, self.patience = rule, patience
        self.cache: list[int] = []
        self.passes: list[int] = []  # ids read in each pass

    def prefill(self, states: object, capacity: int) -> None:
        self.cache = []

    def verify(self, tokens: Sequence[int], position: int) -> list[int]:
        assert tokens
        assert position <= len(self.cache), "a position was left out"
        self.passes.append(len(tokens))
        del self.cache[position:]
        ids = []
        for token in tokens:
            self.cache.append(token)
            ids.append(self.rule(tuple(self.cache)))
        return ids

    def draft(self, token: int, position: int, count: int) -> list[int]:
        assert count >= 1
        ids: list[int] = []
        while len(ids) < min(count, self.patience) and EOS not in ids:
            (token,) = self.verify([token], position + len(ids))
            ids.append(token)
        return ids


def rule(seed: int, ends: float = 0.05) -> Rule:
    """Any id after any prefix, always the same one."""

    def after(prefix: tuple[int, ...]) -> int:
        rng = random.Random(f"{seed} {prefix}")
        return EOS if rng.random() < ends else rng.randrange(2, VOCABULARY)

    return after


def agreeing(target: Rule, share: float, seed: int = 7) -> Rule:
    """Says what `target` does in `share` of the cases."""

    def after(prefix: tuple[int, ...]) -> int:
        rng = random.Random(f"agree {seed} {prefix}")
        token = target(prefix)
        return token if rng.random() < share else (token + 1) % VOCABULARY

    return after


def greedy(target: Rule, sampling: Sampling) -> list[int]:
    """One id at a time."""
    ids: list[int] = []
    while len(ids) < sampling.max_new_tokens and (sampling.ignore_eos or EOS not in ids):
        ids.append(target((START, *ids)))
    return ids


def ids_of(steps: Sequence[Step]) -> list[int]:
    return [token for step in steps for row in step.token_ids for token in row]


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("patience", [1, 2, 3, 5, 8, 16])
@pytest.mark.parametrize(("ignore_eos", "from_start"), [(False, False), (True, False), (False, True)])
def test_ids_are_those_of_the_verifier_alone(share, patience, ignore_eos, from_start):
    lengths = set()
    for seed in range(40):
        sampling = Sampling(24, ignore_eos)
        target = rule(seed)
        expected = greedy(target, sampling)
        drafter = DecoderDrafter(Table(agreeing(target, share), patience), ENDS)
        steps = list(speculate(Table(target), drafter, sampling, ENDS, from_start=from_start))
        assert ids_of(steps) == expected
        lengths.add(len(expected))
    assert len(lengths) > 5 or ignore_eos


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("from_start", [False, True])
def test_limits_are_kept_exactly(limit, share, from_start):
    for seed in range(40):
        sampling = Sampling(limit, ignore_eos=bool(seed % 2))
        target = rule(seed, ends=0.3)
        verifier, small = Table(target), Table(agreeing(target, share))
        drafter = DecoderDrafter(small, ENDS)
        steps = list(speculate(verifier, drafter, sampling, ENDS, from_start=from_start))
        assert ids_of(steps) == greedy(target, sampling)
        assert len(verifier.cache) <= limit  # the positions that read() was promised
        assert len(small.cache) <= limit


@pytest.mark.parametrize("length", [None, DraftLength(0.1), DraftLength(0.0, longest=3)])
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_counts_say_what_was_drafted_and_accepted(share, length):
    for seed in range(20):
        target = rule(seed, ends=0.02)
        small = Table(agreeing(target, share))
        steps = list(speculate(Table(target), DecoderDrafter(small, ENDS), Sampling(40), ENDS, length))
        assert [step.phase for step in steps] == ["prefill", *["draft", "verify"] * (len(steps) // 2)]
        assert [len(row) for row in steps[0].token_ids] == [1]
        for step in steps[1:]:
            if step.phase == "draft":
                assert step == Step("draft")
                continue
            (new,), (drafted,), (accepted,) = step.token_ids, step.drafted, step.accepted
            assert 0 <= accepted <= drafted
            assert accepted == {0.0: 0, 1.0: drafted}.get(share, accepted)
            ended_by_draft = new[-1] == EOS and accepted == len(new)
            assert len(new) == accepted + (not ended_by_draft)


def test_an_end_within_a_draft_ends_the_answer_and_nothing_is_read_behind_it():
    def counting(prefix: tuple[int, ...]) -> int:
        return EOS if len(prefix) == 6 else 5

    verifier = Table(counting)
    steps = list(speculate(verifier, DecoderDrafter(Table(counting), ENDS), Sampling(50), ENDS))
    assert ids_of(steps) == [5, 5, 5, 5, 5, EOS]
    assert (steps[-1].drafted, steps[-1].accepted) == ((5,), (5,))
    assert verifier.passes == [1, 5]
    assert EOS not in verifier.cache


def test_an_end_that_is_ignored_is_gone_beyond():
    def ending(prefix: tuple[int, ...]) -> int:
        return EOS if len(prefix) % 4 == 0 else 5

    sampling = Sampling(19, ignore_eos=True)
    steps = list(speculate(Table(ending), DecoderDrafter(Table(ending), ENDS), sampling, ENDS))
    assert ids_of(steps) == greedy(ending, sampling)
    assert ids_of(steps).count(EOS) == 4


def test_a_draft_from_the_start_is_verified_by_the_first_pass():
    target = rule(3, ends=0.0)
    for share, accepted in ((1.0, 16), (0.0, 0)):
        verifier = Table(target)
        drafter = DecoderDrafter(Table(agreeing(target, share)), ENDS)
        steps = list(speculate(verifier, drafter, Sampling(30), ENDS, from_start=True))
        assert [step.phase for step in steps[:4]] == ["draft", "prefill", "draft", "verify"]
        assert (steps[1].drafted, steps[1].accepted, len(steps[1].token_ids[0])) == (
            (16,), (accepted,), accepted + 1,
        )  # fmt: skip
        assert verifier.passes[0] == 17
        assert ids_of(steps) == greedy(target, Sampling(30))


def test_a_perfect_drafter_saves_passes_and_a_wrong_one_costs_none():
    target = rule(3, ends=0.0)
    for share, passes in ((1.0, 1 + 3), (0.0, 50)):
        verifier = Table(target)
        list(speculate(verifier, DecoderDrafter(Table(agreeing(target, share)), ENDS), Sampling(50), ENDS))
        assert len(verifier.passes) == passes


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_the_drafters_cache_follows_what_was_written(share):
    """What it drafts is what it would write from there, whatever was rejected before."""
    target = rule(11, ends=0.0)
    own = agreeing(target, share)
    for patience in (1, 2, 4, 8):
        small = Table(own, patience)
        drafter, written = DecoderDrafter(small, ENDS), [target((START,))]
        while len(written) < 60:
            drafted = drafter.propose(written, 6)
            expected: list[int] = []
            while len(expected) < len(drafted):
                expected.append(own((START, *written, *expected)))
            assert drafted == expected
            assert 1 <= len(drafted) <= 6
            ids = [target((START, *written, *drafted[:i])) for i in range(len(drafted) + 1)]
            right = next(
                (i for i, (a, b) in enumerate(zip(drafted, ids, strict=False)) if a != b), len(drafted)
            )
            written += ids[: right + 1]


def test_after_a_right_draft_one_pass_catches_up():
    target = rule(5, ends=0.0)
    small = Table(target, patience=4)
    list(speculate(Table(target), DecoderDrafter(small, ENDS), Sampling(11), ENDS))
    # Its first pass reads the start and the LLM's id; each later one the last drafted id and the LLM's.
    assert small.passes == [2, 1, 1, 1, 1, 2, 1, 1]


def test_lookup_copies_what_followed_the_last_ids():
    lookup = LookupDrafter([4, 5, 6, 7, 8, 9, EOS], ENDS)
    assert lookup.propose([5, 6], 2) == [7, 8]
    assert lookup.propose([3, 7, 8], 5) == [9, EOS]  # nothing follows an end
    assert lookup.propose([6], 5) == []  # one id that agrees is too little
    assert lookup.propose([5, 6, 11, 5, 6], 1) == [7]  # the first place
    assert lookup.propose([3, 6, 7, 2, 5, 6, 7], 2) == [8, 9]
    assert lookup.propose([3, 6, 7, 2, 3, 6, 7], 2) == [2, 3]  # three that agree, though two do before
    assert LookupDrafter([4, 5, 6], ENDS, sizes=(1,)).propose([5], 3) == [6, 5]
    assert LookupDrafter([4], ENDS, sizes=(3, 2)).propose([4], 3) == []


def test_lookup_gives_the_verifiers_ids_too():
    """Whatever the prompt says; an answer that quotes it takes few passes."""
    prompt = [7, 3, 9, 4, 8, 2, 6, 5, 11, 10, EOS]
    for seed in range(30):
        target, verifier = rule(seed), Table(rule(seed))
        steps = list(speculate(verifier, LookupDrafter(prompt, ENDS), Sampling(30), ENDS, DraftLength(0.05)))
        assert ids_of(steps) == greedy(target, Sampling(30))

    def quoting(prefix: tuple[int, ...]) -> int:
        return prompt[len(prefix) - 1]

    verifier = Table(quoting)
    steps = list(speculate(verifier, LookupDrafter(prompt, ENDS), Sampling(30), ENDS, DraftLength(0.05)))
    assert ids_of(steps) == prompt
    assert len(verifier.passes) <= 4


def test_the_length_of_drafts_follows_acceptance():
    eager, wary = DraftLength(0.1), DraftLength(0.1)
    first = eager.count
    for _ in range(10):
        eager.observe(eager.count, eager.count)
        wary.observe(wary.count, 0)
    assert wary.count == 1 < first < eager.count <= LONGEST_DRAFT
    assert DraftLength(1.0).count < DraftLength(0.2).count < DraftLength(0.01).count
    assert DraftLength(0.0, longest=5).count == 5


def test_the_length_is_the_one_with_most_ids_per_cost():
    """By brute force over the expected number of ids, a + a^2 + ... and the verifier's own."""
    for cost in (0.02, 0.1, 0.3):
        length = DraftLength(cost)
        for drafted, accepted in ((4, 4), (4, 1), (6, 6), (3, 0)):
            length.observe(drafted, accepted)
        rate = (3 + 4 + 1 + 6 + 0) / (4 + 4 + 2 + 6 + 1)
        worth = {k: sum(rate**i for i in range(k + 1)) / (1 + k * cost) for k in range(1, LONGEST_DRAFT + 1)}
        assert length.count == max(worth, key=worth.__getitem__)
