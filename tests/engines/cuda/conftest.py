"""What the tests of the GPU engine share: its work is done on the CPU, in float32."""

from collections.abc import Callable

import pytest

from hybrid.engines.contract import EngineConfig
from hybrid.engines.cuda.engine import CudaGraphEngine
from hybrid.schema import CPU, MODELS
from tests.bundle_source import BundleSource


@pytest.fixture(scope="session")
def graph_engine(tiny_bundle) -> Callable[..., CudaGraphEngine]:
    """graph_engine(method, bundle=..., **settings): the engine on the CPU, or as `settings` say."""

    def make(method: str, bundle=tiny_bundle, **settings) -> CudaGraphEngine:
        settings = {"device": CPU, "dtype": "float32"} | settings
        return CudaGraphEngine(EngineConfig(BundleSource(bundle), (method,), **settings), method)

    return make


@pytest.fixture(scope="session")
def graph_engines(graph_engine) -> dict[str, CudaGraphEngine]:
    return {method: graph_engine(method) for method in MODELS}
