"""The reference engine: greedy decoding in PyTorch, by every method alike.

    llm       prompts -> LLM encoder                                     -> LLM decoder -> answers
    slm       prompts -> SLM encoder                                     -> SLM decoder -> answers
    hybrid    prompts -> LLM encoder -> projector, fusion, SLM encoder   -> SLM decoder -> answers
    lossless  a prompt -> LLM encoder, read by both -> SLM decoder drafts, LLM decoder verifies -> answer

It gives the ids of transformers' greedy generate() without its overhead per
token, for one prompt or a batch; lossless-slm and lossless-lookup take their
drafts from elsewhere. It yields a Step at every phase boundary and has no
clock: measure.timed stands outside.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch

from hybrid.engines.answers import Answers, Serving
from hybrid.engines.config import Order
from hybrid.engines.contract import Engine
from hybrid.engines.layout import Layout
from hybrid.engines.speculative import check_batch
from hybrid.engines.t5_layers import Target
from hybrid.engines.torch_parts import Parts
from hybrid.engines.torch_writers import Greedy, Lossless, Prompts, Writer
from hybrid.errors import EngineError
from hybrid.models.bundle import Bundle
from hybrid.models.prompt import encode_prompts
from hybrid.models.source import models_of
from hybrid.schema import METHODS, MODELS, Device, Sampling, Step


class TorchEngine:
    """One method of a bundle, ready to answer; it serves one generation at a time.

    system: of METHODS. device: where it runs; dtype: float32 on the CPU and
    bfloat16 on a GPU when None. threads: of torch on the CPU, set for whoever
    iterates `generate`; None leaves them alone. parts: of the same bundle,
    where other engines share them. Raises EngineError when it cannot run here.

    As attributes, what a benchmark records: name, device and dtype, such as
    "cuda" and "bfloat16"; options, of which it has none; synchronize waits for
    the device, None where nothing is left running.
    """

    name = "torch"

    def __init__(
        self,
        bundle: Bundle,
        system: str,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        threads: int | None = None,
        parts: Parts | None = None,
    ) -> None:
        if system not in METHODS:
            raise EngineError(f"There is no system {system!r}; available: {', '.join(METHODS)}.")
        place = check_device(device)
        on_cpu = place.type == "cpu"
        target = Target(place, dtype or (torch.float32 if on_cpu else torch.bfloat16))
        self.options: Mapping[str, str] = {}
        self.system = system
        self.device, self.dtype = Device.parse(str(place)), str(target.dtype).removeprefix("torch.")
        self.synchronize = None if on_cpu else partial(torch.accelerator.synchronize, place)
        self._tokenizer, self._limit = bundle.tokenizer, bundle.max_prompt_tokens
        self._threads, self._target = threads, target
        self._eos = int(bundle.tokenizer.eos_token_id)
        self._serving = Serving()
        with torch.inference_mode():
            parts = parts or Parts(bundle, target)
            self._reader = parts.reader(METHODS[system].models[0])
            self._writer: Writer
            if (model := METHODS[system].models[0]) == system:
                self._writer = Greedy(parts, model, self._eos)
            else:
                self._writer = Lossless(parts, system, self._eos)

    @torch.inference_mode()  # entered anew for each Step: the caller's code between them runs outside it
    def generate(self, task: str, texts: Sequence[str], sampling: Sampling) -> Iterator[Step]:
        """Answer B texts at once: Steps tokenize, encode, (project,) prefill, decode ..., detokenize.

        The lossless methods answer one text, with draft and verify in turn in
        place of decode; lossless-slm reads the prompt twice, and encodes twice.
        Where a model drafts, a draft comes before prefill, which verifies it.

        Ids include the end-of-sequence id. Raises InputError or PromptTooLong
        at the first step when a prompt cannot be answered, or there is none.
        """
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # OpenMP keeps this per thread, so not in __init__
        if self.system not in MODELS:
            check_batch(len(texts))
        encoded = encode_prompts(self._tokenizer, task, texts, self._limit, sampling.truncate)
        lengths = tuple(len(prompt.ids) for prompt in encoded)
        check = self._serving.begin()
        yield Step("tokenize", prompt_tokens=lengths)

        prompt_ids = torch.tensor([i for p in encoded for i in p.ids], device=self._target.device)
        prompts = Prompts(prompt_ids, Layout(lengths, self._target))
        states = self._reader(prompts.ids, prompts.layout)
        yield Step("encode")

        answers = Answers(len(lengths), None if sampling.ignore_eos else self._eos)
        yield from answers.follow(self._writer.write(prompts, states, sampling), check)
        yield answers.detokenized(self._tokenizer)


def check_device(device: str | torch.device) -> torch.device:
    """The device of this name; raises EngineError when it cannot be used here."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        available = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise EngineError(f"Device {str(device)!r} cannot be used here; available: {available}.") from error
    return torch.device(device)


def missing(device: Device) -> str | None:
    """Why this engine cannot run on `device` here; None when it can."""
    try:
        check_device(device)
    except EngineError as error:
        return str(error)
    return None


def make(order: Order) -> dict[str, Engine]:
    """An engine for each method; they share what they read with. Raises EngineError when this cannot be."""
    torch.set_num_threads(order.threads)  # for reading and packing the weights too
    dtype: torch.dtype = getattr(torch, order.dtype)
    bundle = order.source.bundle(models_of(order.methods))
    with torch.inference_mode():
        parts = Parts(bundle, Target(check_device(order.device), dtype))
    engines: dict[str, Engine] = {
        method: TorchEngine(bundle, method, order.device, dtype, order.threads, parts)
        for method in order.methods
    }
    # The engines have copies of their own. A model refers to itself, so that only the collector ends it.
    del bundle, parts
    gc.collect()
    return engines
