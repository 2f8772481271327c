"""Engines with graphs of their own refuse by name what they have no graph for."""

import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda.engine import CudaGraphEngine
from hybrid.engines.onnx import engine as onnx_engine
from hybrid.errors import EngineError
from tests.engines.any_pairs import AnyPair

REFUSED = {
    "norms of heads": ("qwen3", "t5", {}, "norms of heads"),
    "parallel parts": ("t5", "gpt_neox", {"bridge": True}, "parallel parts"),
    "norms behind its parts": ("t5", "bart", {}, "norms behind its parts"),
    "a reader of no covered family": ("opt", "t5", {}, "No architecture here covers the family 'opt'"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("engine", ["onnx", "cuda-graph"])
def test_other_hybrids_are_refused_with_the_engine_that_runs_them(engine, kind):
    llm, slm, settings, reason = REFUSED[kind]
    config = EngineConfig(AnyPair(llm, slm, **settings), ("hybrid",))
    with pytest.raises(EngineError, match=rf"{reason}.* Use --engine (torch|transformers)"):
        onnx_engine.create_engines(config) if engine == "onnx" else CudaGraphEngine(config, "hybrid")
