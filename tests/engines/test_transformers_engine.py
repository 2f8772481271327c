"""generate() by its own engine: the ids of the reference, its Steps as they come, and int8 models."""

import logging
from collections import Counter

import pytest
import torch
import transformers

from hybrid.engines.contract import EngineConfig
from hybrid.engines.torch.engine import TorchEngine
from hybrid.engines.transformers_engine import create_engines, unavailable_reason
from hybrid.errors import EngineError
from hybrid.models.sources import ZooSource
from hybrid.schema import CPU, METHODS, MODELS, Device, Sampling
from hybrid.suites import load_suite
from tests.bundle_source import BundleSource
from tests.engines.peers import absolute_pair, called, greedy
from tests.loaded import EN_DE, ask, encoded, prompt_ids

LOSSLESS = tuple(method for method in METHODS if method not in MODELS)


@pytest.fixture(scope="module")
def peers(tiny_bundle):
    """transformers' engines of the tiny bundle, one a method."""
    return create_engines(EngineConfig(BundleSource(tiny_bundle), tuple(METHODS)))


@pytest.fixture(params=["bart", "marian"])
def absolute(request, tiny_bundle):
    return absolute_pair(request.param, tiny_bundle.tokenizers)


@pytest.mark.parametrize("method", MODELS)
@pytest.mark.parametrize("ignore_eos", [False, True])
def test_a_batch_gives_what_singles_give(peers, texts, answer, answers, method, ignore_eos):
    several = texts[::20]
    together = answers(peers[method], several, ignore_eos=ignore_eos)
    alone = [answer(peers[method], text, ignore_eos=ignore_eos) for text in several]
    assert [generation.token_ids for generation in together] == [generation.token_ids for generation in alone]
    assert [generation.finish_reason for generation in together] == [
        generation.finish_reason for generation in alone
    ]
    assert len({len(generation.token_ids) for generation in together}) == 1 or not ignore_eos


@pytest.mark.parametrize("method", LOSSLESS)
def test_lossless_methods_give_the_ids_of_the_llm(peers, engines, texts, answer, method):
    for text in texts[::20]:
        generation, expected = answer(peers[method], text), answer(engines["llm"], text)
        assert (generation.token_ids, generation.text) == (expected.token_ids, expected.text)


def test_drafts_are_made_and_nothing_is_read_twice(peers, tiny_bundle, texts, answer):
    llm, hybrid = tiny_bundle.llm, tiny_bundle.hybrid
    counts = Counter()
    parts = {
        "reads": llm.encoder, "reads again": hybrid.llm, "fuses": hybrid.slm.encoder,
        "drafts": hybrid.slm.decoder, "verifies": llm.decoder,
    }  # fmt: skip
    with called(counts, **parts):
        generation = answer(peers["lossless"], texts[100], ignore_eos=True)
    assert len(generation.token_ids) == 24
    assert (counts["reads"], counts["reads again"], counts["fuses"]) == (1, 0, 1)
    assert min(counts["drafts"], counts["verifies"]) > 1


def test_what_it_records_of_itself(peers):
    assert {engine.method for engine in peers.values()} == set(METHODS)
    for engine in peers.values():
        described = (engine.name, engine.device, engine.dtype, engine.options, engine.synchronize)
        assert described == ("transformers", "cpu", "float32", {}, None)


def test_closing_ends_generate_in_the_middle(peers, tiny_bundle, answer, engines):
    counts = Counter()
    with called(counts, steps=tiny_bundle.slm.decoder):
        steps = peers["slm"].generate(encoded(tiny_bundle, ["A bridge."]), Sampling(3000, ignore_eos=True))
        while next(steps).phase != "prefill":
            pass
        steps.close()
        done = counts["steps"]
        assert 1 <= done < 3000
        assert counts["steps"] == done  # nothing goes on behind our back
    assert answer(peers["slm"], "A bridge.").token_ids == answer(engines["slm"], "A bridge.").token_ids


def test_errors_inside_generate_come_out(peers, tiny_bundle, answer, engines):
    def broken(*_):
        raise RuntimeError("the decoder broke")

    hook = tiny_bundle.slm.decoder.register_forward_pre_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="the decoder broke"):
            answer(peers["slm"], "A bridge.")
    finally:
        hook.remove()
    assert answer(peers["slm"], "A bridge.").token_ids == answer(engines["slm"], "A bridge.").token_ids


def test_it_runs_with_its_own_threads_without_gradients(tiny_bundle, answer):
    seen = set()

    def look(*_):
        seen.add((torch.get_num_threads(), torch.is_inference_mode_enabled()))

    hook = tiny_bundle.slm.decoder.register_forward_pre_hook(look)
    try:
        engine = create_engines(EngineConfig(BundleSource(tiny_bundle), ("slm",), threads=2))["slm"]
        torch.set_num_threads(1)
        answer(engine, "A bridge.")
    finally:
        hook.remove()
        torch.set_num_threads(1)
    assert seen == {(2, True)}
    assert torch.get_num_threads() == 1


def test_the_bundle_stays_as_it_was(tiny_bundle, answer):
    settings = {name: model.generation_config.to_dict() for name, model in tiny_bundle.models.items()}
    encoder = tiny_bundle.hybrid.get_encoder()
    before = {name: tensor.clone() for name, tensor in tiny_bundle.slm.state_dict().items()}
    for dtype in ("float32", "bfloat16", "int8"):
        methods = tuple(METHODS) if dtype == "float32" else MODELS
        for engine in create_engines(EngineConfig(BundleSource(tiny_bundle), methods, dtype=dtype)).values():
            answer(engine, "A bridge.", ignore_eos=True)
    assert {name: m.generation_config.to_dict() for name, m in tiny_bundle.models.items()} == settings
    assert tiny_bundle.hybrid.get_encoder() is encoder
    after = tiny_bundle.slm.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert after.keys() == before.keys()


def test_bfloat16_answers_much_alike(tiny_bundle, peers, texts, answer):
    for method, engine in create_engines(
        EngineConfig(BundleSource(tiny_bundle), MODELS, dtype="bfloat16")
    ).items():
        assert (engine.name, engine.dtype) == ("transformers", "bfloat16")
        assert _alike(engine, peers[method], texts[::10], answer) >= 0.5


def test_int8_answers_much_alike(tiny_bundle, peers, texts, answer, monkeypatch):
    """Without the linear function of float32, which is broken meanwhile."""
    linear = torch.nn.functional.linear
    for method, engine in create_engines(
        EngineConfig(BundleSource(tiny_bundle), MODELS, dtype="int8")
    ).items():
        described = (engine.name, engine.dtype, engine.options)
        assert described == ("transformers-int8", "int8", {"quantization": "dynamic int8 (torch)"})
        monkeypatch.setattr(torch.nn.functional, "linear", None)
        answer(engine, "A bridge.")
        monkeypatch.setattr(torch.nn.functional, "linear", linear)
        assert _alike(engine, peers[method], texts[::10], answer) >= 0.4


def _alike(first, second, texts, answer):
    """The share of texts whose answers begin alike; random models are never sure of theirs."""
    firsts = [[answer(engine, t, max_new_tokens=1).token_ids for t in texts] for engine in (first, second)]
    return sum(a == b for a, b in zip(*firsts, strict=True)) / len(texts)


@pytest.mark.parametrize("ignore_eos", [False, True])
def test_bart_and_marian_run_too(absolute, texts, answer, answers, ignore_eos):
    stop = None if ignore_eos else 1
    several, written = texts[40::50], set()
    by_hand = {
        name: [greedy(model, prompt_ids(absolute, text), 24, stop) for text in several]
        for name, model in absolute.models.items()
    }
    for method, engine in create_engines(EngineConfig(BundleSource(absolute), tuple(METHODS))).items():
        expected = by_hand[method if method in MODELS else "llm"]
        assert [answer(engine, text, ignore_eos=ignore_eos).token_ids for text in several] == expected
        written |= {token for ids in expected for token in ids}
        if method in MODELS:
            together = answers(engine, several, ignore_eos=ignore_eos)
            assert [generation.token_ids for generation in together] == expected
    assert len(written) > 10  # else the test would show little


def test_bart_and_marian_run_in_int8(absolute, answer):
    for engine in create_engines(EngineConfig(BundleSource(absolute), MODELS, dtype="int8")).values():
        assert len(answer(engine, "A bridge.", ignore_eos=True).token_ids) == 24


def test_assisted_generation_says_nothing_on_the_way(peers, answer, caplog):
    type(transformers.utils.logging.get_logger()).warning_once.cache_clear()
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        for method in LOSSLESS:
            answer(peers[method], "A bridge.", ignore_eos=True)
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages == []


def test_where_it_cannot_run(tiny_bundle):
    assert unavailable_reason(CPU) is None
    if not torch.cuda.is_available():
        assert (
            unavailable_reason(Device("cuda", 0))
            == "torch sees no GPU here, so 'cuda:0' cannot be used; choose --device cpu."
        )
        with pytest.raises(EngineError, match="'cuda:0' cannot be used here"):
            create_engines(
                EngineConfig(BundleSource(tiny_bundle), ("slm",), device=Device("cuda", 0), dtype="bfloat16")
            )


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_on_a_gpu(tiny_bundle, engines, texts, answer, answers, dtype):
    """float32 gives the ids of the CPU; in 16 bits, answers begin much alike."""
    for method, engine in create_engines(
        EngineConfig(BundleSource(tiny_bundle), tuple(METHODS), "cuda", dtype)
    ).items():
        reference = engines[method if method in MODELS else "llm"]
        assert (engine.device, engine.dtype, engine.synchronize) == ("cuda", dtype, None)
        assert _alike(engine, reference, texts[::10], answer) >= (1 if dtype == "float32" else 0.5)
        if dtype == "float32":
            expected = [answer(reference, text).token_ids for text in texts[::20]]
            assert [answer(engine, text).token_ids for text in texts[::20]] == expected
            if method in MODELS:
                assert [generation.token_ids for generation in answers(engine, texts[::20])] == expected


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", METHODS)
def test_the_bundled_pair_answers_as_the_reference(method):
    """On 20 sentences: the same ids in float32, much the same words in int8."""
    source, suite = ZooSource(EN_DE), load_suite("everyday-en-de@1")
    model = method if method in MODELS else "llm"
    engines = {
        "reference": TorchEngine(source.bundle([model]), model),
        "float32": create_engines(EngineConfig(source, (method,)))[method],
        "int8": create_engines(EngineConfig(source, (model,), dtype="int8"))[model],
    }
    generations = {
        name: [ask(engine, source, suite.task, [e.source], Sampling())[0] for e in suite.examples[:20]]
        for name, engine in engines.items()
    }
    ids = {
        name: [generation.token_ids for generation in of_engine] for name, of_engine in generations.items()
    }
    assert ids["float32"] == ids["reference"]
    words = {
        name: [Counter(generation.text.split()) for generation in of_engine]
        for name, of_engine in generations.items()
    }
    shared = sum((a & b).total() for a, b in zip(words["int8"], words["reference"], strict=True))
    share = shared / sum(row.total() for row in words["reference"])
    print(f"\ntransformers-int8 {model}: {share:.0%} of the words are those of float32")  # noqa: T201
    assert share > 0.6
