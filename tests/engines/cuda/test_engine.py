"""The GPU engine's work, done on the CPU, gives the torch engine's ids for every size, in chunks."""

import random

import pytest
import torch

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda import engine as cuda_engine
from hybrid.engines.cuda import shared_state
from hybrid.engines.cuda.engine import create_engines
from hybrid.engines.cuda.shared_state import LENGTHS, bucket
from hybrid.errors import EngineError, InputError, PromptTooLong
from hybrid.measuring.answers import warm_up
from hybrid.models.source import BundleSource
from hybrid.schema import CPU, MODELS, Sampling
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
        ours, theirs = answers(graph_engines[method], part), answers(engines[method], part)
        for text, mine, expected in zip(part, ours, theirs, strict=True):
            ids = mine.token_ids, expected.token_ids
            assert same(tiny_bundle.model(method), prompt_ids(tiny_bundle, text), *ids)
            if ids[0] == ids[1]:
                assert (mine.text, mine.finish_reason) == (expected.text, expected.finish_reason)
            assert mine.prompt_tokens == expected.prompt_tokens
            ends.add(mine.finish_reason)
        lengths.add(bucket(max(made.prompt_tokens for made in ours), LENGTHS))
    assert ends == {"eos", "length"}
    assert len(lengths) > 2 or size > 3


@pytest.mark.parametrize("method", MODELS)
def test_answers_equal_transformers_generate(
    graph_engines, tiny_bundle, texts, answers, reference, same, method
):
    model, part = tiny_bundle.model(method), texts[::11]
    prompts = [prompt_ids(tiny_bundle, text) for text in part]
    made = answers(graph_engines[method], part, max_new_tokens=30)
    for prompt, one, ids in zip(prompts, made, reference(model, prompts, 30), strict=True):
        assert same(model, prompt, one.token_ids, ids)


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
        made = answer(engine, text, max_new_tokens=limit)
        assert len(made.token_ids) <= limit
        assert same(model, prompt, made.token_ids, reference(model, [prompt], limit)[0])


@pytest.mark.parametrize("method", MODELS)
def test_steps_come_in_order_and_in_chunks(tiny_bundle, graph_engines, method):
    engine = graph_engines[method]
    steps = list(engine.generate(encoded(tiny_bundle, ["The new bridge."]), Sampling(40, ignore_eos=True)))
    project = ["project"] if method == "hybrid" else []
    phases = ["encode", *project, "prefill", "decode", "decode", "decode"]
    assert [step.phase for step in steps] == phases
    assert [len(step.token_ids[0]) for step in steps if step.token_ids] == [1, 16, 16, 7]
    assert [len(step.prompt_tokens) for step in steps] == [1, *[0] * (len(steps) - 1)]
    assert [len(step.texts) for step in steps] == [*[0] * (len(steps) - 1), 1]
    assert [step.finish_reasons for step in steps if step.finish_reasons] == [("length",)]


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


def test_chunks_end_with_the_answer(tiny_bundle, graph_engines, texts, answer):
    engine = graph_engines["slm"]
    text = next(t for t in texts if 3 < len(answer(engine, t).token_ids) < 8)
    steps = list(engine.generate(encoded(tiny_bundle, [text]), Sampling(30)))
    assert [step.phase for step in steps] == ["tokenize", "encode", "prefill", "decode"]
    assert steps[3].token_ids[0][-1] == 1
    assert steps[-1].finish_reasons == ("eos",)


def test_max_new_tokens_is_exact(graph_engines, texts, answer):
    for engine in graph_engines.values():
        longer = answer(engine, texts[0], max_new_tokens=40, ignore_eos=True)
        for limit in (1, 2, 7, 18, 33):
            made = answer(engine, texts[0], max_new_tokens=limit, ignore_eos=True)
            assert (len(made.token_ids), made.finish_reason) == (limit, "length")
            assert made.token_ids == longer.token_ids[:limit]


def test_an_end_at_the_very_limit_is_an_end(graph_engines, texts, answer):
    engine = graph_engines["hybrid"]
    pairs = ((text, answer(engine, text)) for text in texts)
    text, made = next(pair for pair in pairs if pair[1].finish_reason == "eos" and len(pair[1].token_ids) > 3)
    length = len(made.token_ids)
    exact, short = (answer(engine, text, max_new_tokens=n) for n in (length, length - 1))
    assert (exact.token_ids, exact.finish_reason) == (made.token_ids, "eos")
    assert (short.token_ids, short.finish_reason) == (made.token_ids[:-1], "length")


def test_nothing_of_other_answers_is_left(tiny_bundle, graph_engine, mixed, answers):
    engine = graph_engine("hybrid")
    expected = [made.token_ids for made in answers(engine, mixed[:4])]
    for size, limit in ((7, 24), (4, 40), (1, 5), (32, 24), (3, 200), (4, 24)):
        answers(engine, mixed[-size:], max_new_tokens=limit, ignore_eos=True)
        assert [made.token_ids for made in answers(engine, mixed[:4])] == expected
    abandoned = engine.generate(encoded(tiny_bundle, mixed[4:8]), Sampling(30, ignore_eos=True))
    for _ in range(5):
        next(abandoned)
    assert [made.token_ids for made in answers(engine, mixed[:4])] == expected
    with pytest.raises(EngineError, match="one generation at a time"):
        next(abandoned)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_engines_made_together_take_turns(engines, tiny_bundle, mixed, answer, steps, monkeypatch):
    """They share the LLM's encoder and where its states stand."""
    monkeypatch.setattr(cuda_engine, "missing", lambda _: None)
    made = create_engines(EngineConfig(BundleSource(tiny_bundle), MODELS, CPU, "float32"))
    assert list(made) == list(MODELS)
    assert made["llm"]._packed.encoder is made["hybrid"]._packed.encoder
    assert made["llm"]._packed.encoder is not made["slm"]._packed.encoder
    first = made["llm"].generate(encoded(tiny_bundle, mixed[:1]), Sampling(30, ignore_eos=True))
    for _ in range(steps):
        next(first)
    expected = answer(engines["hybrid"], mixed[1]).token_ids
    assert answer(made["hybrid"], mixed[1]).token_ids == expected
    with pytest.raises(EngineError, match="one generation at a time"):
        list(first)


def test_sizes_are_captured_once_and_forgotten_when_they_are_many(
    graph_engine, engines, mixed, answer, answers, monkeypatch
):
    monkeypatch.setattr(shared_state, "CACHED_REQUESTS", 2)
    said = []
    engine = graph_engine("slm", observer=lambda event: said.append(event.sentence))
    texts = [mixed[0], " ".join(mixed)[:250], " ".join(mixed)[:120]]
    for text in [*texts, *texts, texts[-1], texts[-1]]:
        assert answer(engine, text).token_ids == answer(engines["slm"], text).token_ids
    assert len(said) == 6  # three sizes through a memory of two
    assert all(sentence.startswith("Capturing the slm for 1 x ") for sentence in said)
    assert len(engine._shared.requests) == 2
    assert engine.notices == []


def test_longer_answers_are_captured_anew_and_then_serve_shorter_ones(graph_engine, mixed, answer):
    said = []
    engine = graph_engine("slm", observer=lambda event: said.append(event.sentence))
    for limit in (10, 64, 65, 10, 128, 2):
        answer(engine, mixed[0], max_new_tokens=limit)
    assert len(said) == 2


def test_inference_mode_ends_where_the_callers_code_runs(tiny_bundle, graph_engines, texts):
    for _ in graph_engines["hybrid"].generate(encoded(tiny_bundle, texts[:1]), Sampling(3)):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


def test_weights_stay_as_they_were(graph_engine, tiny_bundle, texts, answer):
    before = {name: tensor.clone() for name, tensor in tiny_bundle.hybrid.state_dict().items()}
    answer(graph_engine("hybrid"), texts[9])
    after = tiny_bundle.hybrid.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_an_engine_says_what_a_benchmark_records(graph_engines):
    for method, engine in graph_engines.items():
        said = (engine.method, engine.name, engine.device, engine.dtype, engine.synchronize, engine.options)
        assert said == (method, "cuda-graph", "cpu", "float32", None, {"kernels": "torch"})


def test_warm_up_runs_on_every_engine(graph_engines):
    for engine in graph_engines.values():
        warm_up(engine, "translate-en-de")


def test_refusals_come_with_the_first_step(graph_engines, answer):
    engine = graph_engines["slm"]
    for texts, task, error in (
        ([""], "summarize", InputError),
        (["one", "a\x00"], "summarize", InputError),
        (["text"], "poem", InputError),
        ([], "summarize", InputError),
        (["bridge " * 400], "summarize", PromptTooLong),
    ):
        with pytest.raises(error):
            next(engine.generate(task, texts, Sampling()))
    assert answer(engine, "bridge " * 400, truncate=True).prompt_tokens == 160
