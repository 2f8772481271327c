"""A batch gives what its prompts give alone: padding and neighbours never show, ended answers stay ended."""

import random

import pytest
import torch

from hybrid.engines.torch import batch_decoder
from hybrid.engines.torch.engine import TorchEngine
from hybrid.errors import EngineError
from hybrid.schema import SYSTEMS, Device, Sampling
from tests.loaded import encoded, prompt_ids


@pytest.fixture(scope="module")
def mixed(texts) -> list[str]:
    """All prompts in random order: short beside long ones."""
    return random.Random(1).sample(texts, len(texts))


@pytest.fixture(scope="module")
def alone(engines, mixed, answer) -> dict:
    """For each system, what each prompt gives in batch 1."""
    return {system: [answer(engine, text) for text in mixed] for system, engine in engines.items()}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("size", [1, 2, 5, 32])
def test_a_batch_equals_its_prompts_alone(engines, tiny_bundle, mixed, alone, answers, same, system, size):
    ends = set()
    for start in range(0, len(mixed), size):
        part = mixed[start : start + size]
        together = answers(engines[system], part)
        ends.add(frozenset(generation.finish_reason for generation in together))
        for text, generation, single in zip(part, together, alone[system][start : start + size], strict=True):
            ids = generation.token_ids, single.token_ids
            if ids[0] != ids[1]:
                assert same(tiny_bundle.model(system), prompt_ids(tiny_bundle, text), *ids)
                continue
            assert (generation.text, generation.finish_reason) == (single.text, single.finish_reason)
            assert generation.prompt_tokens == single.prompt_tokens
            assert len(generation.timing.token_times_s) == len(generation.token_ids)
    assert size == 1 or frozenset({"eos", "length"}) in ends  # both in one batch


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("size", [2, 32])
def test_a_batch_equals_padded_generate(engines, tiny_bundle, mixed, answers, reference, same, system, size):
    model, part = tiny_bundle.model(system), mixed[:size]
    prompts = [prompt_ids(tiny_bundle, text) for text in part]
    for generation, prompt, expected in zip(
        answers(engines[system], part), prompts, reference(model, prompts), strict=True
    ):
        assert same(model, prompt, generation.token_ids, expected)


@pytest.mark.parametrize("system", SYSTEMS)
def test_logits_of_a_batch_equal_those_of_its_prompts(engines, mixed, answer, answers, system, monkeypatch):
    """Closer than ids can tell: a leak too small to change a word would show."""
    engine, seen = engines[system], []
    real = batch_decoder.argmax
    monkeypatch.setattr(batch_decoder, "argmax", lambda logits: seen.append(logits) or real(logits))
    answers(engine, mixed[:6], max_new_tokens=1)
    for row, text in enumerate(mixed[:6]):
        answer(engine, text, max_new_tokens=1)
        torch.testing.assert_close(
            seen[0][row], engine.strategy.decoder.single.logits[0], rtol=1e-4, atol=1e-4
        )


def test_states_of_a_batch_equal_those_of_its_prompts(engines, tiny_bundle, mixed):
    engine = engines["llm"]
    prompts = [prompt_ids(tiny_bundle, text) for text in mixed[:6]]
    with torch.inference_mode():
        together = engine.strategy.encoder(prompts).rows
        single = [engine.strategy.encoder([prompt]).rows for prompt in prompts]
    torch.testing.assert_close(together, torch.cat(single), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("system", SYSTEMS)
def test_ended_rows_yield_nothing_more_and_the_last_ends_the_stream(tiny_bundle, engines, mixed, system):
    steps = list(engines[system].generate(encoded(tiny_bundle, mixed[:32]), Sampling(24)))
    ids_by_step = [step.token_ids for step in steps if step.phase in ("prefill", "decode")]
    assert all(len(step.token_ids) == 32 for step in steps if step.phase in ("prefill", "decode"))
    assert {len(ids) for ids in ids_by_step[0]} == {1}
    assert all(any(rows) for rows in ids_by_step)
    lengths = []
    for row in range(32):
        counts = [len(rows[row]) for rows in ids_by_step]
        lengths.append(sum(counts))
        assert counts == [1] * lengths[-1] + [0] * (len(ids_by_step) - lengths[-1])
    assert len(set(lengths)) > 2
    assert max(lengths) == len(ids_by_step) == 24


@pytest.mark.parametrize("system", SYSTEMS)
def test_ended_rows_are_not_computed(tiny_bundle, engines, mixed, alone, system, monkeypatch):
    rows, real = [], batch_decoder.argmax
    monkeypatch.setattr(batch_decoder, "argmax", lambda logits: rows.append(len(logits)) or real(logits))
    list(engines[system].generate(encoded(tiny_bundle, mixed[:32]), Sampling(24)))
    lengths = [len(generation.token_ids) for generation in alone[system][:32]]
    assert rows == [sum(length > step for length in lengths) for step in range(24)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_fixed_length_gives_every_row_all_its_tokens(engines, mixed, alone, answers, system):
    together = answers(engines[system], mixed[:5], max_new_tokens=30, ignore_eos=True)
    assert "eos" in {generation.finish_reason for generation in alone[system][:5]}
    for generation, natural in zip(together, alone[system][:5], strict=True):
        assert (len(generation.token_ids), generation.finish_reason) == (30, "length")
        assert generation.token_ids[: len(natural.token_ids)] == natural.token_ids


def test_nothing_of_another_batch_is_left(tiny_bundle, mixed, alone, answers):
    """Caches are used again by batches of other sizes and lengths, and by single prompts between them."""
    engine = TorchEngine(tiny_bundle, "hybrid")
    expected = [generation.token_ids for generation in alone["hybrid"]]
    for size, limit in ((7, 24), (2, 40), (1, 5), (32, 24), (3, 200), (5, 24)):
        answers(engine, mixed[-size:], max_new_tokens=limit, ignore_eos=True)
        assert [generation.token_ids for generation in answers(engine, mixed[:4])] == expected[:4]
    abandoned = engine.generate(encoded(tiny_bundle, mixed[:3]), Sampling(9, ignore_eos=True))
    for _ in range(6):
        next(abandoned)
    assert [generation.token_ids for generation in answers(engine, mixed[:4])] == expected[:4]
    with pytest.raises(EngineError, match="one generation at a time"):
        next(abandoned)


@pytest.mark.parametrize("system", SYSTEMS)
def test_long_answers_of_a_batch_equal_too(
    tiny_bundle, mixed, alone, answers, reference, same, system, monkeypatch
):
    """Caches grow, and beyond 128 tokens distances reach the last bucket."""
    monkeypatch.setattr(batch_decoder, "CAPACITY", 4)
    long = [
        text
        for text, generation in zip(mixed, alone[system], strict=True)
        if generation.finish_reason == "length"
    ]
    model, prompts = tiny_bundle.model(system), [prompt_ids(tiny_bundle, text) for text in long[:12]]
    engine = TorchEngine(tiny_bundle, system)
    answers(engine, long[:12], max_new_tokens=3)
    together = answers(engine, long[:12], max_new_tokens=150)
    assert max(len(generation.token_ids) for generation in together) == 150
    for generation, prompt, expected in zip(together, prompts, reference(model, prompts, 150), strict=True):
        assert same(model, prompt, generation.token_ids, expected)


def test_memory_of_32_answers_of_512_tokens_is_that_of_their_keys_and_values(tiny_bundle, mixed, answers):
    engine = TorchEngine(tiny_bundle, "hybrid")
    together = answers(engine, mixed[:32], max_new_tokens=512, ignore_eos=True)
    assert {len(generation.token_ids) for generation in together} == {512}
    layers, width = 2, 32
    assert engine.strategy.decoder.batch.memory.numel() == 2 * layers * 32 * 512 * width


def test_bfloat16_batches_mostly_agree(tiny_bundle, mixed, alone, answers):
    engine = TorchEngine(tiny_bundle, "hybrid", dtype=torch.bfloat16)
    first = [generation.token_ids[0] for generation in answers(engine, mixed[:32])]
    expected = [generation.token_ids[0] for generation in alone["hybrid"][:32]]
    assert sum(a == b for a, b in zip(first, expected, strict=True)) >= 0.7 * 32


@pytest.mark.gpu
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_gpu_gives_the_same_ids_for_a_batch(tiny_bundle, mixed, alone, answers, system):
    exact = TorchEngine(tiny_bundle, system, device=Device("cuda"), dtype=torch.float32)
    brief = TorchEngine(tiny_bundle, system, device=Device("cuda"))
    expected = [generation.token_ids for generation in alone[system][:32]]
    assert [generation.token_ids for generation in answers(exact, mixed[:32])] == expected
    first = [generation.token_ids[0] for generation in answers(brief, mixed[:32])]
    assert sum(a == b[0] for a, b in zip(first, expected, strict=True)) >= 0.7 * 32


def test_larger_caches_are_taken_when_the_smaller_ones_are_let_go(tiny_bundle, mixed, answers, monkeypatch):
    """Both at once would not fit where one nearly fills a GPU."""
    decoders: list[batch_decoder.BatchDecoder] = []
    held: list[int] = []  # bytes of caches while new ones are taken
    reserve, new_zeros = batch_decoder.BatchDecoder._reserve, torch.Tensor.new_zeros

    def watched(decoder, batch: int, capacity: int) -> None:
        decoders.append(decoder)
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "new_zeros", counted)
            reserve(decoder, batch, capacity)

    def counted(tensor, *sizes, **options):
        layers = [layer for decoder in decoders for layer in decoder.layers if hasattr(layer, "keys")]
        held.append(sum(layer.keys.untyped_storage().nbytes() for layer in layers))
        return new_zeros(tensor, *sizes, **options)

    monkeypatch.setattr(batch_decoder.BatchDecoder, "_reserve", watched)
    engine = TorchEngine(tiny_bundle, "llm")
    for size in (2, 8, 32):
        answers(engine, mixed[:size])
    assert len(held) >= 2
    assert not any(held)
