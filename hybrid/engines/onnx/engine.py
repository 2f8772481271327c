"""ONNX Runtime on the CPU: graphs built by hand from a pair's weights, decoded greedily.

Two engines in one: `onnx` holds the matrices of decoders in 8 bits, and with
int8_encoder those of encoders too; `onnx-fp32` gives the ids of the torch engine.
What is built from a pair's weights is kept in the cache folder.

Prompts of a batch are encoded one by one and answered together.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hybrid.engines.contract import EngineConfig
from hybrid.engines.decoding import check_batch, decoding_strategy
from hybrid.engines.generation import GenerationGuard
from hybrid.errors import EngineError
from hybrid.models.context import check_room, contexts_of
from hybrid.schema import CPU, METHODS, Device, EncodedPrompt, Sampling, Step

if TYPE_CHECKING:
    from hybrid.engines.contract import Engine
    from hybrid.engines.onnx.backend import OnnxBackend

NEEDED = (1, 22)  # the first onnxruntime whose GroupQueryAttention takes a position bias
PRECISIONS = {"int8": "onnx", "float32": "onnx-fp32"}


class OnnxEngine:
    """One method of a pair, ready to answer; it serves one generation at a time.

    As attributes, what a benchmark records: method; name, device,
    dtype and options; synchronize is None, since nothing is left running.
    """

    device = CPU
    synchronize = None

    def __init__(self, config: EngineConfig, method: str, backend: "OnnxBackend") -> None:
        self.method = method
        self.name, self.dtype = PRECISIONS[config.dtype], config.dtype
        self.options: Mapping[str, str] = dict(config.options)
        self._guard = GenerationGuard()
        models = METHODS[method].models
        self._contexts = contexts_of(config.source.config(model) for model in models)
        self.strategy = decoding_strategy(backend, method, config.source.codec(method).eos_ids)

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps encode, (project,) prefill, decode and so on.

        The lossless methods answer one prompt: in place of decode they give draft and verify in turn,
        and take the prompt for the drafts, project or another encode, after prefill.
        """
        check_batch(self.method, len(prompts))
        ids = [prompt.token_ids for prompt in prompts]
        check_room(self._contexts, max(map(len, ids)), sampling.max_new_tokens)
        yield from self._guard.follow(self.strategy.decode(ids, sampling))


def unavailable_reason(device: Device) -> str | None:
    """Say why this engine cannot run on `device` here; None when it can."""
    if device.kind != "cpu":
        return f"The onnx engine runs on the CPU, not on {device}; use --device cpu or another engine."
    try:
        import onnxruntime
    except ImportError as error:
        return f"The onnx engine needs onnxruntime ({error}); pip install onnxruntime."
    if _version(onnxruntime.__version__) < NEEDED:
        return (
            f"The onnx engine needs onnxruntime {'.'.join(map(str, NEEDED))} or later, and "
            f"{onnxruntime.__version__} is installed; pip install --upgrade onnxruntime."
        )
    if find_spec("onnx") is None:
        return "The onnx engine needs onnx to build its graphs; pip install onnx."
    return None


def create_engines(config: EngineConfig) -> "dict[str, Engine]":
    """Create an engine for each method; they share sessions. Raises EngineError when this cannot be."""
    if reason := unavailable_reason(config.device):
        raise EngineError(reason)
    from hybrid.engines.onnx.backend import OnnxBackend

    backend = OnnxBackend(config)
    engines: dict[str, Engine] = {method: OnnxEngine(config, method, backend) for method in config.methods}
    # The sessions have copies of their own. A model refers to itself, so that only the collector ends it.
    del backend
    gc.collect()
    return engines


def _version(text: str) -> tuple[int, ...]:
    """Give major and minor."""
    return tuple(int(number) for number in text.split(".")[:2])
