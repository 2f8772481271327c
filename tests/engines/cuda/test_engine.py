"""The GPU engine's work, done on the CPU, gives the torch engine's ids for every size, in chunks."""

import random

import pytest
import torch

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda import engine as cuda_engine
from hybrid.engines.cuda import shared_state
from hybrid.engines.cuda.engine import create_engines
from hybrid.engines.cuda.shared_state import LENGTHS, bucket
from hybrid.errors import EngineError
from hybrid.schema import CPU, MODELS, Sampling
from tests.bundle_source import BundleSource
from tests.loaded import encoded, prompt_ids

SIZES = (1, 2, 3, 13, 32)


@pytest.fixture(scope="module")
def mixed(texts) -> list[str]:
    """All prompts in random order: short beside long ones."""
    return random.Random(2).sample(texts, len(texts))


@pytest.mark.parametrize("method", MODELS)
@pytest.mark.parametrize("size", SIZES)
def test_answers_equal_the_torch_engines(
    graph_engines, engines, tiny_bundle, mixed, answers, same, method, size
):
    """For every batch and every length that is captured for the tiny pair."""
    ends, lengths = set(), set()
    for start in range(0, min(len(mixed), max(20, 3 * size)), size):
        part = mixed[start : start + size]
        graph_answers, torch_answers = answers(graph_engines[method], part), answers(engines[method], part)
        for text, mine, expected in zip(part, graph_answers, torch_answers, strict=True):
            ids = mine.token_ids, expected.token_ids
            assert same(tiny_bundle.model(method), prompt_ids(tiny_bundle, text), *ids)
            if ids[0] == ids[1]:
                assert (mine.text, mine.finish_reason) == (expected.text, expected.finish_reason)
            assert mine.prompt_tokens == expected.prompt_tokens
            ends.add(mine.finish_reason)
        lengths.add(bucket(max(generation.prompt_tokens for generation in graph_answers), LENGTHS))
    assert ends == {"eos", "length"}
    assert len(lengths) > 2 or size > 3


def test_every_prompt_length_at_the_edges_of_a_size(graph_engine, engines, tiny_bundle, answers, same):
    """Padding from none to all but one token of a step between sizes."""
    engine = graph_engine("hybrid")
    words = "bridge " * 60
    by_length = {}
    for cut in range(1, len(words)):
        text = words[:cut].strip()
        by_length.setdefault(len(prompt_ids(tiny_bundle, text)), text)
    edges = [length for length in by_length if {length, length + 1, length - 1} & set(LENGTHS)]
    assert {31, 32, 33} & set(edges)
    for length in edges:
        text = by_length[length]
        (mine,), (expected,) = answers(engine, [text]), answers(engines["hybrid"], [text])
        ids = mine.token_ids, expected.token_ids
        assert same(tiny_bundle.hybrid, prompt_ids(tiny_bundle, text), *ids)


@pytest.mark.parametrize("method", MODELS)
def test_long_answers_equal_too(graph_engine, tiny_bundle, texts, answer, reference, same, method):
    """Capacity grows from 64 ids to 256, and beyond 128 distances reach the last bucket of T5's."""
    engine, model = graph_engine(method), tiny_bundle.model(method)
    text = next(t for t in reversed(texts) if answer(engine, t).finish_reason == "length")
    prompt = prompt_ids(tiny_bundle, text)
    for limit in (60, 100, 150, 20):
        generation = answer(engine, text, max_new_tokens=limit)
        assert len(generation.token_ids) <= limit
        assert same(model, prompt, generation.token_ids, reference(model, [prompt], limit)[0])


@pytest.mark.parametrize("method", MODELS)
def test_an_answer_comes_in_chunks(tiny_bundle, graph_engines, method):
    prompts = encoded(tiny_bundle, ["The new bridge."])
    steps = graph_engines[method].generate(prompts, Sampling(40, ignore_eos=True))
    assert [len(step.token_ids[0]) for step in steps if step.token_ids] == [1, 16, 16, 7]


def test_what_follows_the_end_is_cut_and_the_last_end_stops(tiny_bundle, graph_engines, mixed):
    engine = graph_engines["llm"]
    steps = [s for s in engine.generate(encoded(tiny_bundle, mixed[:20]), Sampling(30)) if s.token_ids]
    assert [max(map(len, step.token_ids)) for step in steps] == [1, 8, 8, 8, 5]
    ended = [False] * 20
    for step in steps:
        for row, ids in enumerate(step.token_ids):
            assert not (ended[row] and ids)
            assert 1 not in ids[:-1]
            ended[row] |= bool(ids) and ids[-1] == 1
    assert set(ended) == {True, False}


def test_max_new_tokens_is_exact(graph_engines, texts, answer):
    for engine in graph_engines.values():
        longer = answer(engine, texts[0], max_new_tokens=40, ignore_eos=True)
        for limit in (1, 2, 7, 18, 33):
            generation = answer(engine, texts[0], max_new_tokens=limit, ignore_eos=True)
            assert (len(generation.token_ids), generation.finish_reason) == (limit, "length")
            assert generation.token_ids == longer.token_ids[:limit]


def test_nothing_of_other_answers_is_left(tiny_bundle, graph_engine, mixed, answers):
    engine = graph_engine("hybrid")
    expected = [generation.token_ids for generation in answers(engine, mixed[:4])]
    for size, limit in ((7, 24), (4, 40), (1, 5), (32, 24), (3, 200), (4, 24)):
        answers(engine, mixed[-size:], max_new_tokens=limit, ignore_eos=True)
        assert [generation.token_ids for generation in answers(engine, mixed[:4])] == expected
    abandoned = engine.generate(encoded(tiny_bundle, mixed[4:8]), Sampling(30, ignore_eos=True))
    for _ in range(5):
        next(abandoned)
    assert [generation.token_ids for generation in answers(engine, mixed[:4])] == expected
    with pytest.raises(EngineError, match="one generation at a time"):
        next(abandoned)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_engines_made_together_take_turns(engines, tiny_bundle, mixed, answer, steps, monkeypatch):
    """They share the LLM's encoder and where its states stand."""
    monkeypatch.setattr(cuda_engine, "unavailable_reason", lambda _: None)
    together = create_engines(EngineConfig(BundleSource(tiny_bundle), MODELS, CPU, "float32"))
    assert list(together) == list(MODELS)
    assert together["llm"]._packed["llm"].reads is together["hybrid"]._packed["hybrid"].reads
    assert together["llm"]._packed["llm"].reads is not together["slm"]._packed["slm"].reads
    first = together["llm"].generate(encoded(tiny_bundle, mixed[:1]), Sampling(30, ignore_eos=True))
    for _ in range(steps):
        next(first)
    expected = answer(engines["hybrid"], mixed[1]).token_ids
    assert answer(together["hybrid"], mixed[1]).token_ids == expected
    with pytest.raises(EngineError, match="one generation at a time"):
        list(first)


def test_sizes_are_captured_once_and_forgotten_when_they_are_many(
    graph_engine, engines, mixed, answer, answers, monkeypatch
):
    monkeypatch.setattr(shared_state, "CACHED_REQUESTS", 2)
    sentences = []
    engine = graph_engine("slm", observer=lambda event: sentences.append(event.sentence))
    texts = [mixed[0], " ".join(mixed)[:250], " ".join(mixed)[:120]]
    for text in [*texts, *texts, texts[-1], texts[-1]]:
        assert answer(engine, text).token_ids == answer(engines["slm"], text).token_ids
    assert len(sentences) == 6  # three sizes through a memory of two
    assert all(sentence.startswith("Capturing the slm for 1 x ") for sentence in sentences)
    assert len(engine._shared.requests) == 2
    assert engine.notices == []


def test_longer_answers_are_captured_anew_and_then_serve_shorter_ones(graph_engine, mixed, answer):
    sentences = []
    engine = graph_engine("slm", observer=lambda event: sentences.append(event.sentence))
    for limit in (10, 64, 65, 10, 128, 2):
        answer(engine, mixed[0], max_new_tokens=limit)
    assert len(sentences) == 2


def test_inference_mode_ends_where_the_callers_code_runs(tiny_bundle, graph_engines, texts):
    for _ in graph_engines["hybrid"].generate(encoded(tiny_bundle, texts[:1]), Sampling(3)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_weights_stay_as_they_were(graph_engine, tiny_bundle, texts, answer):
    before = {name: tensor.clone() for name, tensor in tiny_bundle.hybrid.state_dict().items()}
    answer(graph_engine("hybrid"), texts[9])
    after = tiny_bundle.hybrid.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
