"""generate() by its own engine for pairs of any two families, and what the torch engine leaves to it."""

import copy

import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.torch import engine as torch_engine
from hybrid.engines.transformers_engine import create_engines
from hybrid.errors import EngineError
from hybrid.schema import MODELS, EncodedPrompt, Notice, Sampling
from tests.engines.any_pairs import PROMPTS, AnyPair, answers, common_ids, expected, phases

PAIRS = {
    "t5+gpt2, bridge": ("t5", "gpt2", {"bridge": True}),
    "gpt2+t5, middle": ("gpt2", "t5", {"layer": 2}),
    "llama+llama, middle": ("llama", "llama", {"layer": 1, "standardize": True}),
    "opt+gpt2, bridge": ("opt", "gpt2", {"bridge": True}),
    "gpt2+t5, two layers": ("gpt2", "t5", {"layer": (1, 3)}),
    "gpt2+opt": ("gpt2", "opt", {}),
    "bart+t5gemma": ("bart", "t5gemma", {"bridge": True}),
}


@pytest.fixture(scope="module", params=PAIRS)
def pair(request) -> AnyPair:
    llm, slm, settings = PAIRS[request.param]
    return AnyPair(llm, slm, **settings)


@pytest.mark.parametrize("model", MODELS)
def test_ids_equal_generate_alone_and_in_a_batch(pair, model):
    engine = create_engines(EngineConfig(pair, (model,)))[model]
    written = [expected(pair.model(model), prompt) for prompt in PROMPTS]
    assert [answers(engine, [prompt])[0] for prompt in PROMPTS] == written
    assert answers(engine, PROMPTS) == written


def test_any_of_several_ids_ends_an_answer(pair):
    several = copy.copy(pair)
    several.eos_ids = common_ids(pair.models.values())
    for name, engine in create_engines(EngineConfig(several, MODELS)).items():
        written = [expected(pair.model(name), prompt, several.eos_ids) for prompt in PROMPTS]
        assert answers(engine, PROMPTS, stop=True) == written


def test_phases_are_told_apart(pair):
    encodes = {name: pair.model(name).config.is_encoder_decoder for name in ("llm", "slm")}
    for name, engine in create_engines(EngineConfig(pair, MODELS)).items():
        first = ["encode", "project"] if name == "hybrid" else ["encode"] * encodes[name]
        assert phases(engine, PROMPTS[1]) == [*first, "prefill", "decode"]


def test_int8_answers(pair):
    for engine in create_engines(EngineConfig(pair, MODELS, dtype="int8")).values():
        assert len(answers(engine, PROMPTS[:1])[0]) == 8


def test_a_decoder_only_slm_drafts_for_a_decoder_only_llm():
    pair = AnyPair("gpt2", "llama")
    engine = create_engines(EngineConfig(pair, ("lossless-slm",)))["lossless-slm"]
    lookup = create_engines(EngineConfig(pair, ("lossless-lookup",)))["lossless-lookup"]
    for prompt in PROMPTS:
        assert (
            answers(engine, [prompt])[0]
            == answers(lookup, [prompt])[0]
            == expected(pair.model("llm"), prompt)
        )


@pytest.mark.parametrize(("llm", "slm", "method", "reason"), [
    ("gpt2", "t5", "lossless-slm", "decoder-only with drafts of an encoder-decoder; use --engine torch"),
    ("t5", "gpt2", "lossless-slm", "encoder-decoder with drafts of decoder-only; use --engine torch"),
    ("gpt2", "gpt2", "lossless", "with drafts of a hybrid that is decoder-only; use --engine torch"),
])  # fmt: skip
def test_drafts_that_it_does_not_have_are_refused(llm, slm, method, reason):
    with pytest.raises(EngineError, match=reason):
        create_engines(EngineConfig(AnyPair(llm, slm), (method,)))


def test_a_middle_layer_is_read_for_the_drafts_alone():
    pair = AnyPair("t5", "t5", layer=1)
    engine = create_engines(EngineConfig(pair, ("lossless",)))["lossless"]
    assert answers(engine, PROMPTS[1:2])[0] == expected(pair.model("llm"), PROMPTS[1])


def test_torch_leaves_what_no_architecture_covers_to_transformers_and_says_so():
    pair, events = AnyPair("opt", "gpt2", bridge=True, layer=(1, 3)), []
    engines = torch_engine.create_engines(EngineConfig(pair, MODELS, observer=events.append))
    reason = engines["llm"].options["fallback"]
    assert reason.startswith("No architecture here covers the family 'opt'; covered: T5")
    assert engines["slm"].options == {}
    assert engines["hybrid"].options == {"reader": "OPTModel of transformers"}
    assert {engine.name for engine in engines.values()} == {"torch"}
    sentences = [event.sentence for event in events if isinstance(event, Notice)]
    assert sentences == [
        f"The engine torch reads the hybrid's prompts through transformers' own OPTModel: {reason}",
        f"The engine torch runs llm through transformers' own modules: {reason}",
    ]
    for name, engine in engines.items():
        assert answers(engine, PROMPTS) == [expected(pair.model(name), prompt) for prompt in PROMPTS]


@pytest.mark.parametrize(("llm", "slm", "model", "tokens"), [
    ("gpt2", "opt", "llm", 257), ("gpt2", "opt", "hybrid", 257), ("bart", "t5", "llm", 260),
    ("qwen3", "gpt_neox", "llm", 257), ("qwen3", "gpt_neox", "hybrid", 257),
])  # fmt: skip
def test_an_answer_beyond_the_models_positions_is_refused(llm, slm, model, tokens):
    engine = create_engines(EngineConfig(AnyPair(llm, slm), (model,)))[model]
    long = tokens if llm == "bart" else tokens + 1 - len(PROMPTS[0])
    with pytest.raises(EngineError, match=f"has positions for 256 tokens; .* would take {tokens}"):
        list(engine.generate([EncodedPrompt(tuple(PROMPTS[0]))], Sampling(long, True)))
