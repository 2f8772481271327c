"""A peer to compare with: transformers' own greedy generate(), called as its users call it.

    transformers       the models as they are; the lossless methods are its assisted generation
    transformers-int8  after torch's dynamic int8 quantization of every linear layer, on the CPU

What generate() would do first, reading the prompt, is done before it and given
to it, see transformers_writing. Greedy and nothing else: no id is forced or
forbidden by settings that a model brings along.

Its prompt lookup sees an encoder-decoder's answer only, never its prompt.
"""

import copy
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.generation import GenerationState, HandOver, Worker
from hybrid.engines.torch.engine import check_device
from hybrid.engines.transformers_writing import Event, Unwanted, Writing
from hybrid.errors import EngineError
from hybrid.format import listed
from hybrid.models.pair import Hybrid
from hybrid.models.reading import devices_of
from hybrid.models.sources import models_of
from hybrid.schema import METHODS, Device, EncodedPrompt, Model, Sampling, Status, Step

INT8 = "int8"


def unavailable_reason(device: Device) -> str | None:
    """Why generate() cannot run on `device` here, in a sentence; None when it can."""
    if device.kind == "cuda" and not torch.cuda.is_available():
        return f"torch sees no GPU here, so {device!r} cannot be used; choose --device cpu."
    return None


def create_engines(config: EngineConfig) -> dict[str, Engine]:
    """generate() of the models that each method needs. Raises EngineError when that cannot run."""
    device = check_device(config.device)
    torch.set_num_threads(config.threads)  # for converting the weights too
    needed = models_of(config.methods)
    bundle = config.bundle(needed)
    models: dict[Model, PreTrainedModel] = {}
    for name in needed:
        config.observer(Status(sentence=f"Preparing the {name} for transformers"))
        models[name] = _ready(bundle.model(name), device, config.dtype)
    return {method: TransformersEngine(method, models, config) for method in config.methods}


class TransformersEngine:
    """One method of a pair by generate(); what else is asked of it while it answers waits.

    models: those that the method needs, on the device of `config` and in its
    precision. synchronize is None on a GPU too: a Step comes when the GPU is
    done with it.
    """

    synchronize = None

    def __init__(self, method: str, models: Mapping[Model, PreTrainedModel], config: EngineConfig) -> None:
        int8 = config.dtype == INT8
        self.method = method
        self.name = "transformers-int8" if int8 else "transformers"
        self.device, self.dtype = config.device, config.dtype
        quantized = {"quantization": "dynamic int8 (torch)"} if int8 else {}
        self.options: Mapping[str, str] = quantized | placement(models[m] for m in METHODS[method].models)
        codec = config.source.codec(method)
        self._eos, self._threads = codec.eos_ids, config.threads
        self._writing = Writing(method, models, codec.reader_pad_id, codec.pad_id)
        self._worker: Worker[Event] = Worker()

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps encode, (project,) prefill, decode and so on.

        A lossless method answers one prompt, in Steps `verify` in place of
        `decode`; what it drafts is part of them and of `prefill`.
        """
        self._writing.check_batch(len(prompts))
        stop = () if sampling.ignore_eos else self._eos
        answers = GenerationState(len(prompts), stop)
        for phase, new in self._worker.stream(partial(self._work, prompts, stop, sampling.max_new_tokens)):
            yield Step(phase, answers.extend(new) if new else ())

    def _work(
        self, prompts: Sequence[EncodedPrompt], stop: Collection[int], limit: int, tell: HandOver[Event]
    ) -> None:
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # OpenMP keeps this per thread
        # Inference mode is per thread, too. An answer that nobody reads on ends in the middle of generate().
        with torch.inference_mode(), suppress(Unwanted):
            self._writing(prompts, stop, limit, tell)


def _ready(model: PreTrainedModel, device: torch.device, dtype: str) -> PreTrainedModel:
    """Copy a model to the device in a precision, as from_pretrained(dtype=...) would give it."""
    if dtype == INT8:
        return _quantized(model)
    precision: torch.dtype = getattr(torch, dtype)
    if devices := devices_of(model):
        if model.dtype != precision:
            raise EngineError(
                f"The LLM lies on {listed(devices)} in {str(model.dtype).removeprefix('torch.')}, not in "
                f"{dtype}; give one --dtype for all engines."
            )
        return model
    on_device = model.device.type == device.type and device.index in (None, model.device.index)
    if on_device and model.dtype == precision:
        return model
    weights = {id(weight): _moved(weight, device, precision) for weight in model.parameters()}
    moved: PreTrainedModel = cast(Any, copy.deepcopy(model, weights)).to(device=device, dtype=precision)
    if precision == torch.float16:
        for name, module in moved.named_modules():
            if name.rpartition(".")[2] in (moved._keep_in_fp32_modules or ()):
                module.float()
    return moved


def _moved(weight: nn.Parameter, device: torch.device, precision: torch.dtype) -> nn.Parameter:
    """Copy a weight to the device; one by one, a model is not twice on the CPU meanwhile."""
    moved = weight.detach().to(device=device, dtype=precision, copy=True)
    return nn.Parameter(moved, requires_grad=weight.requires_grad)


def placement(models: Iterable[PreTrainedModel]) -> dict[str, str]:
    """Say, as an option that a run records, over what the LLM among these is spread, if it is."""
    readers = (model.llm if isinstance(model, Hybrid) else model for model in models)
    devices = next((devices for reader in readers if (devices := devices_of(reader))), ())
    return {"placement": f"llm over {', '.join(devices)}"} if devices else {}


def _quantized(model: PreTrainedModel) -> PreTrainedModel:
    """Copy a model with int8 weights in every linear layer, whose inputs are quantized as they come."""
    with warnings.catch_warnings():
        # It is to go in favour of another package, but it is what torch itself has until then.
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor, .* deprecated", UserWarning)
        try:
            whole = _with_linears(model)
            return cast(PreTrainedModel, torch.ao.quantization.quantize_dynamic(whole, {nn.Linear}))
        except RuntimeError as error:
            raise EngineError(
                "This build of torch has no int8 kernels for this CPU; use --engine transformers."
            ) from error


def _with_linears(model: PreTrainedModel) -> PreTrainedModel:
    """Give GPT-2 ordinary linear layers in the place of its own, which are the same but lie otherwise."""
    if not any(isinstance(module, Conv1D) for module in model.modules()):
        return model
    copied = copy.deepcopy(model)
    for owner in list(copied.modules()):
        for name, part in list(owner.named_children()):
            if isinstance(part, Conv1D):
                linear = nn.Linear(*part.weight.shape)
                linear.weight, linear.bias = nn.Parameter(part.weight.t().contiguous()), part.bias
                setattr(owner, name, linear)
    return copied
