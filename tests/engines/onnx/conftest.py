"""What the tests of the onnx engine share."""

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from hybrid.engines.contract import EngineConfig
from hybrid.engines.onnx import engine as onnx_engine
from hybrid.schema import METHODS
from tests.bundle_source import BundleSource


@pytest.fixture(scope="session")
def make():
    """make(bundle, *methods, dtype, hashes, **settings): engines by method; all when none is named."""

    def ask(bundle, *methods, dtype="float32", hashes=None, **settings):
        source = BundleSource(bundle, hashes)
        return onnx_engine.create_engines(
            EngineConfig(source, methods or tuple(METHODS), dtype=dtype, **settings)
        )

    return ask


@pytest.fixture(scope="session")
def exact(make, tiny_bundle):
    """The tiny pair in float32, by method."""
    return make(tiny_bundle)
