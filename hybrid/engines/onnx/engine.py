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

from hybrid.engines.config import Order
from hybrid.engines.decoding import check_batch, decoding_strategy
from hybrid.engines.generation import Answers, Serving
from hybrid.errors import EngineError
from hybrid.models.prompt import encode_prompts
from hybrid.schema import CPU, Device, Sampling, Step

if TYPE_CHECKING:
    from hybrid.engines.contract import Engine
    from hybrid.engines.onnx.backend import OnnxBackend

NEEDED = (1, 22)  # the first onnxruntime whose GroupQueryAttention takes a position bias
PRECISIONS = {"int8": "onnx", "float32": "onnx-fp32"}


class OnnxEngine:
    """One method of a pair, ready to answer; it serves one generation at a time.

    As attributes, what a benchmark records: system, the method; name, device,
    dtype and options; synchronize is None, since nothing is left running.
    """

    device = CPU
    synchronize = None

    def __init__(self, order: Order, method: str, backend: "OnnxBackend") -> None:
        self.system = method
        self.name, self.dtype = PRECISIONS[order.dtype], order.dtype
        self.options: Mapping[str, str] = dict(order.options)
        self._tokenizer, self._limit = order.source.tokenizer(), order.source.max_prompt_tokens
        self._eos = int(self._tokenizer.eos_token_id)
        self._serving = Serving()
        self.strategy = decoding_strategy(backend, method, self._eos)

    def generate(self, task: str, texts: Sequence[str], sampling: Sampling) -> Iterator[Step]:
        """Answer B texts at once: Steps tokenize, encode, (project,) prefill, decode ..., detokenize.

        The lossless methods answer one text: in place of decode they give draft and verify in turn,
        and read the prompt for the drafts, project or another encode, after prefill.

        Ids include the end-of-sequence id. Raises InputError or PromptTooLong
        at the first step when a prompt cannot be answered, or there is none.
        """
        check_batch(self.system, len(texts))
        encoded = encode_prompts(self._tokenizer, task, texts, self._limit, sampling.truncate)
        prompts = [prompt.ids for prompt in encoded]
        check = self._serving.begin()
        yield Step("tokenize", prompt_tokens=tuple(map(len, prompts)))

        answers = Answers(len(prompts), None if sampling.ignore_eos else self._eos)
        yield from answers.follow(self.strategy.decode(prompts, sampling), check)
        yield answers.detokenized(self._tokenizer)


def missing(device: Device) -> str | None:
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


def make(order: Order) -> "dict[str, Engine]":
    """Create an engine for each method; they share sessions. Raises EngineError when this cannot be."""
    if reason := missing(order.device):
        raise EngineError(reason)
    from hybrid.engines.onnx.backend import OnnxBackend

    eos_id = int(order.source.tokenizer().eos_token_id)
    backend = OnnxBackend(order, eos_id)
    engines: dict[str, Engine] = {method: OnnxEngine(order, method, backend) for method in order.methods}
    # The sessions have copies of their own. A model refers to itself, so that only the collector ends it.
    del backend
    gc.collect()
    return engines


def _version(text: str) -> tuple[int, ...]:
    """Give major and minor."""
    return tuple(int(number) for number in text.split(".")[:2])
