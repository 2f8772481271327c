"""The GPU engine: every phase of an answer captured in CUDA graphs over static buffers, then replayed.

    encode   prompts -> LLM encoder, or the first layers of a decoder-only LLM (hybrid)
    project  -> projector, fusion, SLM encoder (hybrid)
    prefill  -> cross-attention KV cache, or all layers over a decoder-only model's prompts -> the first id
    decode   -> ids, several steps a replay, fetched together
    draft    -> ids of the model that drafts, a few a replay (lossless)
    verify   -> the LLM's id after each of several, in one pass (lossless)

Launched one by one from Python, kernels cost more than they compute: on an H200
generate() takes 25 ms a token for T5 large and 9 ms for T5 small, replayed graphs
of the same kernels 1.7 and 0.4. That hides what a small decoder saves. A request
is padded to the next size that is captured, see shared_state.py; each is captured
when it is first needed.

Ids come in chunks, see graphs.py; those of a chunk get the time at which all of
them are there. The last chunk is no longer than requested.

What it cannot do it leaves to the torch engine, and says why: `notices`, and
"fallback" among the options.
"""

import gc
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.cuda.kernel_selector import AUTO
from hybrid.engines.cuda.models import ENGINE, CapturedRequest, PackedModel
from hybrid.engines.cuda.shared_state import (
    BATCHES,
    CAPACITIES,
    LENGTHS,
    ModelGraphs,
    SharedGraphState,
    bucket,
)
from hybrid.engines.cuda.weights import Target
from hybrid.engines.decoding import check_batch, check_vocabularies, decoding_strategy
from hybrid.engines.torch import engine as torch_engine
from hybrid.engines.torch.engine import check_device
from hybrid.errors import EngineError
from hybrid.models.bundle import Bundle
from hybrid.models.context import check_room, contexts_of
from hybrid.models.sources import models_of
from hybrid.schema import METHODS, Device, EncodedPrompt, Model, Sampling, Status, Step


def unavailable_reason(device: Device) -> str | None:
    """Say why graphs cannot be captured on `device` here; None when they can."""
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


def create_engines(config: EngineConfig) -> dict[str, Engine]:
    """Create an engine for each method that `config` names; they share weights and what is captured.

    Raises EngineError when the device is none of this engine's, or the weights do not fit.
    """
    if reason := unavailable_reason(config.device):
        raise EngineError(reason)
    if config.spreads:
        raise EngineError(
            "The engine cuda-graph runs on one GPU, and the LLM fits on none alone; choose --engine torch."
        )
    bundle = config.source.bundle(models_of(config.methods))
    shared = _shared_state(config)
    try:
        engines: dict[str, Engine] = {
            method: CudaGraphEngine(config, method, shared, bundle) for method in config.methods
        }
    except torch.OutOfMemoryError as error:
        raise EngineError(
            f"The weights for {', '.join(config.methods)} do not fit into the memory of {config.device} "
            f"in {config.dtype}; choose fewer methods or a smaller pair."
        ) from error
    shared.forget_models()
    # The engines have copies of their own. A model refers to itself, so that only the collector ends it.
    del bundle
    gc.collect()
    return engines


class CudaGraphEngine:
    """One method, ready to answer; engines that share state serve one generation at a time.

    On the CPU, for tests, the same work is run without capturing it. Raises
    EngineError when the device cannot be used or the models are of another kind.

    name, device, dtype, options: what a benchmark records. notices: sentences
    about what runs otherwise than requested. synchronize waits for the device.
    """

    name = ENGINE

    def __init__(
        self,
        config: EngineConfig,
        method: str,
        shared: SharedGraphState | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self._config, self._shared = config, shared or _shared_state(config)
        target = self._shared.target
        self.method, self.device, self.dtype = method, Device.parse(str(target.device)), config.dtype
        on_cpu = target.device.type == "cpu"
        self.synchronize = None if on_cpu else partial(torch.accelerator.synchronize, target.device)
        self._notices: list[str] = []
        self._reason = ""  # why torch has answered, the last time that it did
        self._torch: Engine | None = None
        self._eos = config.source.codec(method).eos_ids
        with torch.inference_mode():
            models = bundle or config.source.bundle(models_of([method]))
            self._contexts = contexts_of(models.model(model).config for model in METHODS[method].models)
            self._packed = self._pack(models)
        drafts = METHODS[method].drafter
        if drafts in self._packed:
            llm, drafter = (len(self._packed[model].decoder.head.weight) for model in METHODS[method].models)
            check_vocabularies(llm, drafter, drafts)

    def _pack(self, bundle: Bundle) -> dict[Model, PackedModel]:
        """Pack the models of the method, each once for all engines that share state."""
        shared, config = self._shared, self._config
        kernels = config.options.get("kernels", AUTO)
        return {
            model: shared.model(model, partial(PackedModel, bundle, model, shared, config.observer, kernels))
            for model in METHODS[self.method].models
        }

    @property
    def options(self) -> Mapping[str, str]:
        """What a run records: kernels, see KernelSelector.used; fallback, why torch answered."""
        used = dict.fromkeys(packed.kernels.used for packed in self._packed.values())
        kernels = {"kernels": "; ".join(used)} if used else {}
        return kernels | ({"fallback": self._reason} if self._reason else {})

    @property
    def notices(self) -> list[str]:
        """Sentences about what runs otherwise than requested, each once; those of its models, too."""
        of_models = (notice for packed in self._packed.values() for notice in packed.notices)
        return [*dict.fromkeys([*self._notices, *of_models])]

    @torch.inference_mode()  # entered anew for each Step: the caller's code between them runs outside it
    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps encode, (project,) prefill, decode and so on.

        The lossless methods answer one prompt, with draft and verify in turn in place of decode.
        """
        yield from self._shared.guard.follow(self._steps(prompts, sampling))

    def _steps(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        check_batch(self.method, len(prompts))
        ids = [prompt.token_ids for prompt in prompts]
        check_room(self._contexts, max(map(len, ids)), sampling.max_new_tokens)
        request = self._captured(ids, sampling.max_new_tokens)
        if request is None:
            yield from self._torch_engine().generate(prompts, sampling)
        else:
            yield from decoding_strategy(request, self.method, self._eos).decode(ids, sampling)

    def _captured(self, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> CapturedRequest | None:
        """Give what is captured for these sizes, now if not before; None when torch has to answer."""
        if not self._packed:
            return None
        sizes = len(prompts), max(map(len, prompts)), max_new_tokens
        batch, length, capacity = map(bucket, sizes, (BATCHES, LENGTHS, CAPACITIES))
        if batch is None or length is None or capacity is None:
            limits = [sizes[-1] for sizes in (BATCHES, LENGTHS, CAPACITIES)]
            self._left_to_torch(
                "{} prompts of up to {} tokens with answers of up to {} were requested; ".format(*sizes)
                + "captured are up to {}, {} and {}".format(*limits)
            )
            return None
        try:
            with self._shared.capturer.on_device():
                graphs = {model: self._graphs(model, batch, length, capacity) for model in self._packed}
                return CapturedRequest(graphs)
        except RuntimeError as error:  # OutOfMemoryError is one, as is what a failed capture raises
            first = str(error).strip().partition("\n")[0]
            reason = f"capturing {batch} prompts of {length} tokens failed: {first}"
        self._give_up(reason)
        return None

    def _graphs(self, model: Model, batch: int, length: int, capacity: int) -> ModelGraphs:
        shared, packed = self._shared, self._packed[model]
        if capacity > shared.capacities.setdefault(model, capacity):
            shared.capacities[model] = capacity
            shared.requests.drop(lambda key: key[0] == model)
        graphs = shared.requests.get((model, batch, length), lambda: packed.capture(batch, length))
        if METHODS[self.method].lossless:
            packed.capture_drafting(graphs)
        return graphs

    def _give_up(self, reason: str) -> None:
        """Leave this and all later requests to torch, and it the memory."""
        self._left_to_torch(reason)
        self._notices, self._packed = self.notices, {}
        self._shared.requests.drop(lambda _: True)
        gc.collect()
        if self._shared.target.device.type == "cuda":
            torch.cuda.empty_cache()

    def _left_to_torch(self, reason: str) -> None:
        """Say once why the torch engine answers."""
        self._reason = reason + ("; in bfloat16, as torch has no float16" if self.dtype == "float16" else "")
        sentence = f"The torch engine answers in place of cuda-graph: {self._reason}."
        if sentence not in self._notices:
            self._notices.append(sentence)
            self._config.observer(Status(sentence=sentence))

    def _torch_engine(self) -> Engine:
        """Give the torch engine for this method; it has no float16, bfloat16 stands in for it."""
        if self._torch is None:
            dtype = "bfloat16" if self.dtype == "float16" else self.dtype
            config = replace(self._config, methods=(self.method,), dtype=dtype, options={})
            self._torch = torch_engine.create_engines(config)[self.method]
        return self._torch


def _shared_state(config: EngineConfig) -> SharedGraphState:
    target = Target(check_device(config.device), getattr(torch, config.dtype))
    return SharedGraphState(target, config.source.max_prompt_tokens)
