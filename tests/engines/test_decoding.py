"""The order of the work, whatever computes: Steps, ends of answers, chunks, the gaps of ended ones."""

import random

import pytest

from hybrid.engines.decoding import GreedyDecoding, check_batch, compact
from hybrid.engines.generation import until
from hybrid.errors import EngineError
from hybrid.schema import METHODS, Sampling

START, EOS = 0, 1


class Table:
    """A Backend, its encoder, fusion and decoder, that answers prompt n with scripts[n] in chunks."""

    drafts_first, lookup_cost, start = False, 0.1, START

    def __init__(self, scripts, chunk: int = 1, phase: str | None = "encode") -> None:
        self.scripts, self.chunk, self.phase, self.open_rows = scripts, chunk, phase, []

    def encoder(self, model):
        return self

    def fusion(self):
        return lambda states: f"fused {states}"

    def decoder(self, model):
        return self

    def __call__(self, prompts):
        return f"{len(prompts)} prompts"

    def prefill(self, states, capacity):
        self.states, self.capacity = states, capacity

    def extend(self, tokens, position, count, stop):
        self.open_rows.append(tuple(tokens))
        assert position + count <= self.capacity
        size = min(count, self.chunk)
        new = {row: self.scripts[row][position : position + size] for row in tokens}
        for row, token in tokens.items():
            assert token == (self.scripts[row][position - 1] if position else START)
        return {row: until(stop, ids) for row, ids in new.items()}


def decode(table: Table, model: str = "llm", batch: int | None = None, **sampling):
    prompts = [[5, 1]] * (batch or len(table.scripts))
    return list(GreedyDecoding(table, model, (EOS,)).decode(prompts, Sampling(**sampling)))


@pytest.mark.parametrize("chunk", [1, 2, 3, 8])
@pytest.mark.parametrize("ignore_eos", [False, True])
def test_rows_end_by_themselves_or_not_at_all(chunk, ignore_eos):
    rng = random.Random(chunk)
    scripts = [[*rng.choices(range(2, 9), k=n), EOS, *rng.choices(range(2, 9), k=30)] for n in (3, 0, 7, 12)]
    steps = decode(Table(scripts, chunk), max_new_tokens=9, ignore_eos=ignore_eos)
    rows = [[token for step in steps for token in step.token_ids[row : row + 1]] for row in range(4)]
    ids = [[token for new in row for token in new] for row in rows]
    ends = [9 if ignore_eos else min(9, script.index(EOS) + 1) for script in scripts]
    assert ids == [script[:end] for script, end in zip(scripts, ends, strict=True)]
    assert [step.phase for step in steps[:2]] == ["encode", "prefill"]
    assert all(step.phase == "decode" for step in steps[2:])
    assert all(len(step.token_ids) == 4 for step in steps[1:])


def test_ended_rows_are_asked_nothing_more():
    table = Table([[2, EOS, 9], [2, 3, EOS], [EOS, 9, 9]])
    decode(table, max_new_tokens=5)
    assert table.open_rows == [(0, 1, 2), (0, 1), (1,)]


def test_a_hybrid_projects_and_a_decoder_only_model_encodes_nothing():
    table = Table([[2, EOS]])
    assert [step.phase for step in decode(table, "hybrid")] == ["encode", "project", "prefill", "decode"]
    assert table.states == "fused 1 prompts"
    assert [step.phase for step in decode(Table([[2, EOS]], phase=None))] == ["prefill", "decode"]


@pytest.mark.parametrize("seed", range(50))
def test_gaps_are_closed_by_the_last_open_rows(seed):
    rng = random.Random(seed)
    rows = rng.sample(range(100), rng.randint(1, 12))
    open_rows = set(rng.sample(rows, rng.randint(1, len(rows))))
    cache, left = list(rows), list(rows)
    moves = compact(left, open_rows)
    for source, gap in moves:
        cache[gap] = cache[source]
    assert cache[: len(open_rows)] == left
    assert set(left) == open_rows
    assert len(moves) <= len(rows) - len(open_rows)


def test_several_prompts_are_refused_by_lossless_methods():
    for name, method in METHODS.items():
        check_batch(name, 1)
        if not method.lossless:
            check_batch(name, 3)
            continue
        with pytest.raises(EngineError, match=r"one prompt at a time, and 3 were given"):
            check_batch(name, 3)
