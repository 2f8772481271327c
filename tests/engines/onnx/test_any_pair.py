"""Pairs of T5-, Llama- and GPT-2-shaped models: transformers' greedy ids, alone and in batches."""

import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.onnx import engine as onnx_engine
from hybrid.engines.onnx.causal_runtime import CausalDecoder
from hybrid.errors import EngineError
from hybrid.schema import METHODS, MODELS, EncodedPrompt, Sampling
from tests.engines.any_pairs import NEW, PROMPTS, AnyPair, answers, expected, phases

PAIRS = {
    "llama+t5, bridge, middle": ("llama", "t5", {"bridge": True, "layer": 2, "standardize": True}),
    "llama+gpt2": ("llama", "gpt2", {}),
    "t5+t5, bridge, standardized": ("t5", "t5", {"bridge": True, "standardize": True}),
    "llama+llama, last without norm": ("llama", "llama", {"layer": 3}),
    "gpt2+t5, replace": ("gpt2", "t5", {"fusion": "replace"}),
    "gpt2+llama, bridge, middle": ("gpt2", "llama", {"bridge": True, "layer": 1, "standardize": True}),
    "t5+gpt2, bridge": ("t5", "gpt2", {"bridge": True}),
    "t5+t5, middle": ("t5", "t5", {"layer": 2, "standardize": True}),
    "qwen2+mt5": ("qwen2", "mt5", {}),
    "llama+t5, bridge, two layers": ("llama", "t5", {"bridge": True, "layer": (1, 3), "standardize": True}),
    "t5+gpt2, all layers": ("t5", "gpt2", {"bridge": True, "layer": (1, 2, 3)}),
}
LOSSLESS = tuple(method for method in METHODS if method not in MODELS)


@pytest.fixture(scope="module", params=PAIRS)
def pair(request) -> AnyPair:
    llm, slm, settings = PAIRS[request.param]
    return AnyPair(llm, slm, **settings)


@pytest.fixture(scope="module")
def engines(pair):
    return onnx_engine.create_engines(EngineConfig(pair, tuple(METHODS)))


@pytest.mark.parametrize("model", MODELS)
def test_ids_equal_generate_alone_and_in_a_batch(pair, engines, model):
    written = [expected(pair.model(model), prompt) for prompt in PROMPTS]
    assert [answers(engines[model], [prompt])[0] for prompt in PROMPTS] == written
    assert answers(engines[model], PROMPTS) == written
    assert len({tuple(ids) for ids in written}) > 1


@pytest.mark.parametrize("method", LOSSLESS)
def test_lossless_methods_give_the_ids_of_the_llm(pair, engines, method):
    for prompt in PROMPTS[:3]:
        assert answers(engines[method], [prompt])[0] == expected(pair.model("llm"), prompt)


def test_a_hybrid_reads_projects_and_writes_in_steps_of_their_own(engines):
    assert phases(engines["hybrid"], PROMPTS[1]) == ["encode", "project", "prefill", "decode"]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_32_answers_that_end_one_by_one_are_those_of_single_prompts(family):
    pair = AnyPair(family, "t5")
    engine = onnx_engine.create_engines(EngineConfig(pair, ("llm",)))["llm"]
    prompts = [ids[start:] for ids in PROMPTS[1:] for start in range(8) if ids[start:]]
    alone = [answers(engine, [prompt], stop=True)[0] for prompt in prompts]
    assert len({len(ids) for ids in alone}) > 1 or family == "gpt2"
    assert answers(engine, prompts, stop=True) == alone


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_8_bits_answer_in_batches_as_alone_and_lossless_as_the_llm(family):
    pair = AnyPair(family, family, layer=(1, 2))
    config = EngineConfig(pair, tuple(METHODS), dtype="int8", options={"int8_encoder": "on"})
    engines = onnx_engine.create_engines(config)
    for model in MODELS:
        alone = [answers(engines[model], [prompt])[0] for prompt in PROMPTS]
        assert answers(engines[model], PROMPTS) == alone
        assert {len(ids) for ids in alone} == {NEW}


def test_a_cache_goes_back_to_any_position():
    pair = AnyPair("llama", "gpt2")
    decoder = onnx_engine.create_engines(EngineConfig(pair, ("lossless-lookup",)))[
        "lossless-lookup"
    ].strategy.verifier
    assert isinstance(decoder, CausalDecoder)
    encoded = onnx_engine.create_engines(EngineConfig(pair, ("llm",)))["llm"].strategy.encoder(PROMPTS[:1])
    decoder.prefill(encoded, 16)
    straight = decoder.verify([0, 7, 8, 9, 10], 0)
    decoder.prefill(encoded, 16)
    assert decoder.verify([0, 7, 30, 31], 0)[:2] == straight[:2]
    assert decoder.verify([8, 9], 2) == straight[2:4]
    assert decoder.verify([10], 4) == straight[4:]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_is_beyond_the_positions_is_refused(family):
    engine = onnx_engine.create_engines(EngineConfig(AnyPair(family, "t5"), ("llm",)))["llm"]
    with pytest.raises(EngineError, match="has positions for 256 tokens"):
        next(engine.generate([EncodedPrompt(tuple(PROMPTS[1]))], Sampling(241)))
