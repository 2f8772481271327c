"""One pass over several tokens says what one pass over each says, and going back leaves nothing behind."""

import itertools
import random

import pytest
import torch

from hybrid.engines.torch import decoder as module
from hybrid.engines.torch.decoder import SingleDecoder
from hybrid.engines.torch.encoder import Layout, States
from hybrid.engines.torch.layers import PackedDecoder
from hybrid.engines.torch.operations import Target
from hybrid.models.architectures import decoder_of

EOS = 1
PLAIN = Target(torch.device("cpu"), torch.float32)
SEVERAL = Target(torch.device("cpu"), torch.float32, several=True)
LENGTH = 40


@pytest.fixture(scope="module")
def model(tiny_bundle):
    return tiny_bundle.llm


@pytest.fixture(scope="module")
def states(model) -> torch.Tensor:
    with torch.no_grad():
        return model.encoder(input_ids=torch.tensor([[17, 30, 8, 200, 77, 1]])).last_hidden_state[0]


def encoded(states: torch.Tensor) -> States:
    return States(torch.zeros(len(states), dtype=torch.int64), states, Layout([len(states)], PLAIN))


@pytest.fixture(scope="module")
def tokens() -> list[int]:
    return [0, *random.Random(4).choices(range(2, 384), k=LENGTH - 1)]


@pytest.fixture(scope="module")
def expected(model, states, tokens) -> list[int]:
    """transformers' greedy id after each of the tokens."""
    with torch.no_grad():
        ids = model(
            encoder_outputs=(states.unsqueeze(0),), decoder_input_ids=torch.tensor([tokens])
        ).logits.argmax(-1)
    return ids[0].tolist()


@pytest.fixture(params=[PLAIN, SEVERAL], ids=["plain", "several"])
def decoder(request, model, states) -> SingleDecoder:
    with torch.inference_mode():
        single = SingleDecoder(PackedDecoder(decoder_of(model), request.param), (EOS,))
        single.prefill(encoded(states), LENGTH)
    return single


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 17, LENGTH])
def test_passes_of_any_size_equal_transformers(decoder, tokens, expected, size):
    ids = []
    for start in range(0, LENGTH, size):
        ids += decoder.verify(tokens[start : start + size], start)
    assert ids == expected


def test_what_was_rejected_leaves_nothing(decoder, tokens, expected):
    """Positions are written again and again by wrong ids, in passes and drafts of all sizes."""
    rng = random.Random(9)
    position = 0
    while position < LENGTH:
        wrong = rng.choices(range(2, 384), k=min(rng.randint(1, 9), LENGTH - position))
        decoder.verify(wrong, position)
        count = min(rng.randint(1, 5), LENGTH - position)
        assert (
            decoder.verify(tokens[position : position + count], position)
            == expected[position : position + count]
        )
        position += count


def test_caches_grow_with_what_is_read(model, states, tokens, expected, monkeypatch):
    monkeypatch.setattr(module, "CAPACITY", 4)
    for target in (PLAIN, SEVERAL):
        decoder = SingleDecoder(PackedDecoder(decoder_of(model), target), (EOS,))
        for capacity in (3, 7, LENGTH):
            decoder.prefill(encoded(states), capacity)
            assert decoder.verify(tokens[:capacity], 0) == expected[:capacity]


def test_beyond_the_last_distance_bucket(model, states):
    tokens = [0, *random.Random(5).choices(range(2, 384), k=299)]
    with torch.no_grad():
        expected = model(
            encoder_outputs=(states.unsqueeze(0),), decoder_input_ids=torch.tensor([tokens])
        ).logits.argmax(-1)[0]
    for target in (PLAIN, SEVERAL):
        decoder = SingleDecoder(PackedDecoder(decoder_of(model), target), (EOS,))
        decoder.prefill(encoded(states), 300)
        ids = [i for start in range(0, 300, 60) for i in decoder.verify(tokens[start : start + 60], start)]
        assert ids == expected.tolist()


def test_a_draft_is_what_the_decoder_writes_itself(model, states, monkeypatch):
    decoder = SingleDecoder(PackedDecoder(decoder_of(model), PLAIN), (EOS,))
    decoder.prefill(encoded(states), LENGTH)
    monkeypatch.setattr(module, "MIN_DRAFT_PROBABILITY", 0.0)
    greedy = [decoder.verify([0], 0)[0]]
    while len(greedy) < 12 and greedy[-1] != EOS:
        greedy += decoder.verify(greedy[-1:], len(greedy))
    assert len(greedy) > 6
    for count in (1, 2, 5):
        assert decoder.draft(0, 0, count) == greedy[:count]
        assert decoder.draft(greedy[1], 2, count) == greedy[2 : 2 + count]
    assert decoder.draft(0, 0, LENGTH)[: len(greedy)] == greedy


def test_a_draft_ends_once_it_is_improbable(model, states, monkeypatch):
    """The product of the probabilities that transformers gives its ids has just gone below it."""
    decoder = SingleDecoder(PackedDecoder(decoder_of(model), PLAIN), (EOS,))
    decoder.prefill(encoded(states), LENGTH)
    lengths = set()
    for sure, token in itertools.product((1e-3, 1e-6), range(2, 42)):  # a random model is sure of nothing
        monkeypatch.setattr(module, "MIN_DRAFT_PROBABILITY", sure)
        drafted = decoder.draft(token, 0, LENGTH)
        inputs = torch.tensor([[token, *drafted[:-1]]])
        logits = model(encoder_outputs=(states.unsqueeze(0),), decoder_input_ids=inputs).logits[0]
        assert logits.argmax(-1).tolist() == drafted
        chances = logits.softmax(-1).gather(1, torch.tensor(drafted)[:, None]).cumprod(0)[:, 0]
        assert (chances[:-1] >= sure).all()
        assert chances[-1] < sure or drafted[-1] == EOS
        lengths.add(len(drafted))
    assert len(lengths) >= 3


def test_after_an_end_a_draft_can_begin(model, states):
    decoder = SingleDecoder(PackedDecoder(decoder_of(model), PLAIN), (EOS,))
    decoder.prefill(encoded(states), LENGTH)
    assert len(decoder.draft(EOS, 3, 5)) >= 1


def test_decoders_share_weights_and_nothing_else(model, states, tokens, expected):
    packed = PackedDecoder(decoder_of(model), PLAIN)
    first, second = SingleDecoder(packed, (EOS,)), SingleDecoder(packed, (EOS,))
    first.prefill(encoded(states), LENGTH)
    second.prefill(encoded(states.flip(0)), LENGTH)
    for place, token in enumerate(tokens):
        second.verify([token + 1], place)
        assert first.verify([token], place) == [expected[place]]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
def test_matrices_for_several_rows_are_in_blocks_on_the_cpu_in_float32_only(model):
    assert SEVERAL.blocks
    assert not PLAIN.blocks
    assert not Target(torch.device("cpu"), torch.bfloat16, several=True).blocks
    assert not Target(torch.device("cuda"), torch.float32, several=True).blocks
    assert PackedDecoder(decoder_of(model), SEVERAL).head.weight.is_mkldnn
