"""Pairs of any two families: transformers' greedy ids for LLM, SLM and hybrid, alone and in batches."""

import copy

import pytest
import torch

from hybrid.engines.torch.engine import TorchBackend, TorchEngine
from hybrid.engines.torch.operations import Target
from hybrid.schema import MODELS
from tests.engines.any_pairs import NEW, PROMPTS, AnyPair, answers, common_ids, expected, phases

PAIRS = {
    "t5+t5, middle": ("t5", "t5", {"layer": 2, "standardize": True}),
    "t5+t5, bridge, replace": ("t5", "t5", {"bridge": True, "fusion": "replace"}),
    "t5+gpt2, bridge": ("t5", "gpt2", {"bridge": True}),
    "t5+llama": ("t5", "llama", {}),
    "gpt2+t5, bridge, middle": ("gpt2", "t5", {"bridge": True, "layer": 1}),
    "gpt2+gpt2, last without norm": ("gpt2", "gpt2", {"layer": 3}),
    "gpt2+llama, replace": ("gpt2", "llama", {"fusion": "replace"}),
    "llama+t5, standardized": ("llama", "t5", {"standardize": True}),
    "llama+gpt2, bridge, middle": ("llama", "gpt2", {"bridge": True, "layer": 2, "standardize": True}),
    "llama+llama": ("llama", "llama", {}),
    "qwen3+marian, bridge, middle": ("qwen3", "marian", {"bridge": True, "layer": 2}),
    "bart+qwen2, middle": ("bart", "qwen2", {"layer": 1}),
    "marian+gpt_neox, bridge": ("marian", "gpt_neox", {"bridge": True}),
    "gemma3+t5gemma, bridge, middle": ("gemma3_text", "t5gemma", {"bridge": True, "layer": 2}),
    "t5gemma+gemma3, middle": ("t5gemma", "gemma3_text", {"layer": 2, "standardize": True}),
    "gpt_neox+bart": ("gpt_neox", "bart", {}),
    "llama+t5, bridge, two layers": ("llama", "t5", {"bridge": True, "layer": (1, 3), "standardize": True}),
    "t5+gpt2, two layers": ("t5", "gpt2", {"bridge": True, "layer": (1, 2)}),
}
LOSSLESS = ("lossless", "lossless-slm", "lossless-lookup")


@pytest.fixture(scope="module", params=PAIRS)
def pair(request) -> AnyPair:
    llm, slm, settings = PAIRS[request.param]
    return AnyPair(llm, slm, **settings)


@pytest.mark.parametrize("model", MODELS)
def test_ids_equal_generate_alone_and_in_a_batch(pair, model):
    engine = TorchEngine(pair, model)
    written = [expected(pair.model(model), prompt) for prompt in PROMPTS]
    assert [answers(engine, [prompt])[0] for prompt in PROMPTS] == written
    assert answers(engine, PROMPTS) == written
    config = pair.model(model).config
    repeats_its_start = getattr(config, "slm", config).model_type == "t5gemma"
    assert len({tuple(ids) for ids in written}) > 1 or repeats_its_start


def test_any_of_several_ids_ends_an_answer(pair):
    ends = common_ids(pair.models.values())
    several = copy.copy(pair)
    several.eos_ids = ends
    lengths = set[int]()
    for name in MODELS:
        written = [expected(pair.model(name), prompt, ends) for prompt in PROMPTS]
        lengths |= set(map(len, written))
        engine = TorchEngine(several, name)
        assert answers(engine, PROMPTS, stop=True) == written
        assert [answers(engine, [prompt], stop=True)[0] for prompt in PROMPTS] == written
    drafted = [answers(TorchEngine(several, "lossless"), [prompt], stop=True)[0] for prompt in PROMPTS]
    assert drafted == [expected(pair.model("llm"), prompt, ends) for prompt in PROMPTS]
    assert len(lengths) > 1


@pytest.mark.parametrize("method", LOSSLESS)
def test_lossless_methods_give_the_ids_of_the_llm(pair, method):
    engine = TorchEngine(pair, method)
    for prompt in PROMPTS[:3]:
        assert answers(engine, [prompt])[0] == expected(pair.model("llm"), prompt)


def test_a_hybrid_reads_projects_and_writes_in_steps_of_their_own(pair):
    assert phases(TorchEngine(pair, "hybrid"), PROMPTS[1]) == ["encode", "project", "prefill", "decode"]


def test_a_decoder_only_llm_is_packed_once_for_writing_and_reading():
    pair = AnyPair("llama", "gpt2", layer=2, bridge=True)
    backend = TorchBackend(pair, Target(torch.device("cpu"), torch.bfloat16))
    reader, decoder = backend.encoder("hybrid").encoder, backend.decoder("llm").single.packed
    assert [id(layer) for layer in reader.layers] == [id(layer) for layer in decoder.layers[:2]]
    assert reader.embeddings is decoder.embeddings


@pytest.mark.gpu
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_gives_the_same_ids(pair, model):
    engine = TorchEngine(pair, model, device="cuda", dtype=torch.float32)
    assert answers(engine, PROMPTS) == answers(TorchEngine(pair, model), PROMPTS)
    brief = TorchEngine(pair, model, device="cuda")  # in bfloat16
    assert {len(ids) for ids in answers(brief, PROMPTS)} == {NEW}
