"""The GPU engine: every phase of an answer recorded in CUDA graphs over static buffers, then replayed.

    encode   prompts -> LLM encoder
    project  -> projector, fusion, SLM encoder (hybrid)
    prefill  -> cross-attention keys and values -> the first id
    decode   -> ids, several steps a replay, fetched together

Launched one by one from Python, kernels cost more than they compute: on an H200
generate() takes 25 ms a token for T5 large and 9 ms for T5 small, replayed graphs
of the same kernels 1.7 and 0.4. That hides what a small writer saves. A request
is padded to the next size that is recorded, see buckets.py; each is recorded when
it is first asked for.

Ids come in chunks, see writing.py; those of a chunk get the time at which all of
them are there. The last chunk is no longer than what was asked for.

What it cannot do it leaves to the torch engine, and says why: `notices`, and
"fallback" among the options.
"""

import gc
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch

from hybrid.engines.config import Order
from hybrid.engines.contract import Engine
from hybrid.engines.cuda.buckets import BATCHES, CAPACITIES, LENGTHS, bucket
from hybrid.engines.cuda.reading import Fusing, pack_fusion
from hybrid.engines.cuda.steps import AUTO, Steps
from hybrid.engines.cuda.weights import pack_decoder
from hybrid.engines.cuda.workshop import Route, Workshop
from hybrid.engines.cuda.writing import FIXED_CHUNK, Writing
from hybrid.engines.generation import Answers
from hybrid.engines.torch import engine as torch_engine
from hybrid.engines.torch.engine import check_device
from hybrid.engines.torch.layers import Target
from hybrid.errors import EngineError
from hybrid.models.architectures import check_supported
from hybrid.models.bundle import Bundle
from hybrid.models.prompt import encode_prompts
from hybrid.models.source import models_of
from hybrid.schema import MODELS, Device, Model, Sampling, Step


def missing(device: Device) -> str | None:
    """Why graphs cannot be recorded on `device` here, in a sentence; None when they can."""
    if device.kind != "cuda":
        return f"The engine cuda-graph needs a GPU, not {device!r}; choose --device cuda or --engine torch."
    if torch.version.cuda is None:
        return (
            f"PyTorch {torch.__version__} is built without CUDA; install one with it, or choose --device cpu."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch finds wrong with the driver comes as one, too
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        return "torch sees no GPU here; check the driver with nvidia-smi, or choose --device cpu."
    if (device.ordinal or 0) >= count:
        return f"There is no GPU {device!r}; torch sees {count}, the last is cuda:{count - 1}."
    return None


def make(order: Order) -> dict[str, Engine]:
    """An engine for each of llm, slm and hybrid that `order` names; they share the LLM's encoder.

    Raises EngineError when a method or the device is none of this engine's, or the weights do not fit.
    """
    lossless = [method for method in order.methods if method not in MODELS]
    if lossless:
        raise EngineError(
            f"The engine cuda-graph runs {', '.join(MODELS)}, not {', '.join(lossless)}; "
            "choose --engine torch for these."
        )
    if reason := missing(order.device):
        raise EngineError(reason)
    bundle = order.source.bundle(models_of(order.methods))
    workshop = _workshop(order)
    try:
        engines: dict[str, Engine] = {
            method: CudaGraphEngine(order, method, workshop, bundle) for method in order.methods
        }
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"The weights for {', '.join(order.methods)} do not fit into the memory of {order.device} "
            f"in {order.dtype}; choose fewer methods or a smaller pair."
        ) from error
    workshop.forget_models()
    # The engines have copies of their own. A model refers to itself, so that only the collector ends it.
    del bundle
    gc.collect()
    return engines


class CudaGraphEngine:
    """One of llm, slm and hybrid, ready to answer; engines of one workshop serve one generation at a time.

    On the CPU, for tests, the same work is done without recording it. Raises
    EngineError when the device cannot be used or the models are of another kind.

    name, device, dtype, options: what a benchmark records. notices: sentences
    about what runs otherwise than asked for. synchronize waits for the device.
    """

    name = "cuda-graph"

    def __init__(
        self, order: Order, method: str, workshop: Workshop | None = None, bundle: Bundle | None = None
    ) -> None:
        self._order, self._workshop = order, workshop or _workshop(order)
        target = self._workshop.target
        self.system, self.device, self.dtype = method, Device.parse(str(target.device)), order.dtype
        on_cpu = target.device.type == "cpu"
        self.synchronize = None if on_cpu else partial(torch.accelerator.synchronize, target.device)
        self.notices: list[str] = []
        self._reason = ""  # why torch has answered, the last time that it did
        self._torch: Engine | None = None
        self._capacity = CAPACITIES[0]  # of the longest answer that was ever asked for
        self._tokenizer, self._limit = order.source.tokenizer(), order.source.max_prompt_tokens
        self._eos = int(self._tokenizer.eos_token_id)
        with torch.inference_mode():
            models = bundle or order.source.bundle(models_of([method]))
            self._parts: _Parts | None = _Parts(models, method, self._workshop, self._say, order.options)

    @property
    def options(self) -> Mapping[str, str]:
        """kernels: what computes decode steps, see Steps.used. fallback: why torch answered, if it has."""
        kernels = {"kernels": self._parts.steps.used} if self._parts else {}
        return kernels | ({"fallback": self._reason} if self._reason else {})

    @torch.inference_mode()  # entered anew for each Step: the caller's code between them runs outside it
    def generate(self, task: str, texts: Sequence[str], sampling: Sampling) -> Iterator[Step]:
        """Answer B texts at once: Steps tokenize, encode, (project,) prefill, decode ..., detokenize.

        Ids include the end-of-sequence id. Raises InputError or PromptTooLong
        at the first step when a prompt cannot be answered, or there is none.
        """
        prompts = [
            prompt.ids
            for prompt in encode_prompts(self._tokenizer, task, texts, self._limit, sampling.truncate)
        ]
        check = self._workshop.serving.begin()
        yield Step("tokenize", prompt_tokens=tuple(map(len, prompts)))

        check()
        route = self._route(prompts, sampling.max_new_tokens)
        if route is None:
            steps = self._torch_engine().generate(task, texts, sampling)
            next(steps)  # its tokenize: that was ours
            yield from steps
            return
        stop = None if sampling.ignore_eos else self._eos
        answers = Answers(len(prompts), stop)
        for step in self._answer(route, prompts, answers, sampling):
            yield step
            check()

        yield answers.detokenized(self._tokenizer)

    def _answer(
        self, route: Route, prompts: Sequence[Sequence[int]], answers: Answers, sampling: Sampling
    ) -> Iterator[Step]:
        """From prompts to all ids: Steps encode to decode."""
        count = len(prompts)
        route.reading.prompts.put(prompts)
        route.reading.run()
        yield Step("encode")
        if route.fusing is not None:
            route.fusing.run()
            yield Step("project")
        yield Step("prefill", answers.extend(route.writing.first()[:count]))
        written, chunk = 1, FIXED_CHUNK if sampling.ignore_eos else route.writing.chunk
        while written < sampling.max_new_tokens and (
            sampling.ignore_eos or any(ids[-1] != self._eos for ids in answers.ids)
        ):
            size = min(chunk, sampling.max_new_tokens - written)
            yield Step("decode", answers.extend(route.writing.next(size)[:count]))
            written += size

    def _route(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> Route | None:
        """What is recorded for these sizes, now if it was not before; None when torch has to answer."""
        if self._parts is None:
            return None
        sizes = len(prompts), max(map(len, prompts)), max_new_tokens
        batch, length, capacity = map(bucket, sizes, (BATCHES, LENGTHS, CAPACITIES))
        if batch is None or length is None or capacity is None:
            limits = [sizes[-1] for sizes in (BATCHES, LENGTHS, CAPACITIES)]
            self._left_to_torch(
                "{} prompts of up to {} tokens with answers of up to {} were asked for; ".format(*sizes)
                + "recorded are up to {}, {} and {}".format(*limits)
            )
            return None
        if capacity > self._capacity:
            self._capacity = capacity
            self._workshop.routes.drop(lambda key: key[0] == self.system)
        try:
            with self._workshop.recorder.on_device():
                return self._workshop.routes.get(
                    (self.system, batch, length), partial(self._record, self._parts, batch, length)
                )
        except RuntimeError as error:  # OutOfMemoryError is one, as is what recording says when it fails
            first = str(error).strip().partition("\n")[0]
            reason = f"recording {batch} prompts of {length} tokens failed: {first}"
        self._give_up(reason)
        return None

    def _record(self, parts: "_Parts", batch: int, length: int) -> Route:
        workshop = self._workshop
        self._order.progress(f"Recording the {self.system} for {batch} x {length} prompt tokens")
        reading = workshop.reading(parts.encoder, batch, length)
        fusing = Fusing(parts.fusion, reading, workshop.recorder) if parts.fusion else None
        states = (fusing or reading).states
        writing = Writing(
            parts.decoder, parts.steps, reading.prompts, states, self._capacity, workshop.recorder
        )
        return Route(reading, fusing, writing)

    def _give_up(self, reason: str) -> None:
        """Leave this and all later requests to torch, and it the memory."""
        self._left_to_torch(reason)
        self._parts = None
        self._workshop.routes.drop(lambda _: True)
        gc.collect()
        if self._workshop.target.device.type == "cuda":
            torch.cuda.empty_cache()

    def _left_to_torch(self, reason: str) -> None:
        self._reason = reason + ("; in bfloat16, as torch has no float16" if self.dtype == "float16" else "")
        self._say(f"The torch engine answers in place of cuda-graph: {self._reason}.")

    def _say(self, sentence: str) -> None:
        """Tell once what runs otherwise than asked for."""
        if sentence not in self.notices:
            self.notices.append(sentence)
            self._order.progress(sentence)

    def _torch_engine(self) -> Engine:
        """The torch engine for this method; it has no float16, bfloat16 stands in for it."""
        if self._torch is None:
            dtype = "bfloat16" if self.dtype == "float16" else self.dtype
            order = replace(self._order, methods=(self.system,), dtype=dtype, options={})
            self._torch = torch_engine.make(order)[self.system]
        return self._torch


class _Parts:
    """The weights of one method, as graphs read them, and what makes decode steps of them."""

    def __init__(
        self,
        bundle: Bundle,
        method: str,
        workshop: Workshop,
        say: Callable[[str], None],
        options: Mapping[str, str],
    ) -> None:
        fuses = method == "hybrid"
        whole: Any = bundle.model(cast(Model, method))
        reads, writes = (whole.llm, whole.slm) if fuses else (whole, whole)
        check_supported(reads.config)
        check_supported(writes.config)
        self.encoder = workshop.encoder(reads)
        self.fusion = pack_fusion(whole, workshop.target, workshop.reach) if fuses else None
        self.decoder = pack_decoder(writes, workshop.target, CAPACITIES[-1])
        self.steps = Steps(self.decoder, say, options.get("kernels", AUTO))


def _workshop(order: Order) -> Workshop:
    target = Target(check_device(order.device), getattr(torch, order.dtype))
    return Workshop(target, order.source.max_prompt_tokens)
