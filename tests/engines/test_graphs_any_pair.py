"""Engines with graphs of their own: bridges and standardized states work, some pairs are refused by name."""

import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda.engine import CudaGraphEngine
from hybrid.engines.onnx import engine as onnx_engine
from hybrid.errors import EngineError
from tests.engines.any_pairs import PROMPTS, AnyPair, answers, expected

REFUSED = {
    "a middle layer": ("t5", "t5", {"layer": 2}, "has no final norm"),
    "a causal reader": ("gpt2", "t5", {}, "has no encoder"),
    "a decoder-only writer": ("t5", "llama", {"bridge": True}, "has no encoder"),
    "a reader of no covered family": ("opt", "t5", {}, "No architecture here covers the family 'opt'"),
}
REFUSED_BY_CUDA = {
    "norms of heads": ("qwen3", "t5", {}, "norms of heads"),
    "partly turned heads": ("t5", "gpt_neox", {"bridge": True}, "partly turned heads, parallel parts"),
    "norms behind its parts": ("t5", "bart", {}, "norms behind its parts"),
    "a reader of no covered family": REFUSED["a reader of no covered family"],
}


def cuda(pair: AnyPair, method: str = "hybrid") -> CudaGraphEngine:
    return CudaGraphEngine(EngineConfig(pair, (method,)), method)


def onnx(pair: AnyPair, *methods: str):
    return onnx_engine.create_engines(EngineConfig(pair, methods))


@pytest.mark.parametrize("fusion", ["add", "replace"])
def test_a_bridge_and_standardized_states(fusion):
    pair = AnyPair("t5", "t5", bridge=True, standardize=True, fusion=fusion)
    written = [expected(pair.hybrid, prompt) for prompt in PROMPTS]
    assert answers(onnx(pair, "hybrid")["hybrid"], PROMPTS) == written


@pytest.mark.parametrize("kind", REFUSED)
def test_other_hybrids_are_refused_with_the_engine_that_runs_them(kind):
    llm, slm, settings, reason = REFUSED[kind]
    pair = AnyPair(llm, slm, **settings)
    for methods in (("hybrid",), ("llm", "hybrid")):
        with pytest.raises(EngineError, match=rf"{reason}.* Use --engine (torch|transformers)"):
            onnx(pair, *methods)


@pytest.mark.parametrize("kind", REFUSED_BY_CUDA)
def test_hybrids_that_no_gpu_graph_has_are_refused_with_the_engine_that_runs_them(kind):
    llm, slm, settings, reason = REFUSED_BY_CUDA[kind]
    with pytest.raises(EngineError, match=rf"{reason}.* Use --engine (torch|transformers)"):
        cuda(AnyPair(llm, slm, **settings))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_decoder_only_models_are_refused_with_the_engine_that_runs_them(family):
    pair = AnyPair(family, family)
    for method in ("llm", "slm"):
        with pytest.raises(EngineError, match=r"no encoder.* Use --engine torch"):
            onnx(pair, method)
