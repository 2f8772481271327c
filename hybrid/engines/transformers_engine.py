"""A peer to compare with: transformers' own greedy generate(), called as its users call it.

    transformers       the models as they are; the lossless methods are its assisted generation
    transformers-int8  after torch's dynamic int8 quantization of every linear layer, on the CPU

What generate() would do first, reading the prompt, is done before it and given
to it, so that the time of each part is known. Greedy and nothing else: no id is
forced or forbidden by settings that a model brings along.

Its prompt lookup sees an encoder-decoder's answer only, never its prompt.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, cast

import torch
from torch import nn
from transformers import GenerationConfig, PreTrainedModel
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutput

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.generation import GenerationState, HandOver, Worker
from hybrid.engines.torch.engine import check_device
from hybrid.errors import EngineError
from hybrid.models.pair import HybridForConditionalGeneration
from hybrid.models.source import models_of
from hybrid.schema import METHODS, Device, EncodedPrompt, Model, Phase, Sampling, Status, Step

INT8 = "int8"
LOOKUP_TOKENS = 10  # the default of transformers' PromptLookupCandidateGenerator
Event = tuple[Phase, list[list[int]]]  # a phase that has ended, and the ids of B rows that it brought


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
    bundle = config.source.bundle(needed)
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
        self.options: Mapping[str, str] = {"quantization": "dynamic int8 (torch)"} if int8 else {}
        codec = config.source.codec(method)
        self._eos, self._threads = codec.eos_id, config.threads
        self._writing = _Writing(method, models, codec.pad_id)
        self._worker: Worker[Event] = Worker()

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps encode, (project,) prefill, decode and so on.

        A lossless method answers one prompt, in Steps `verify` in place of
        `decode`; what it drafts is part of them and of `prefill`.
        """
        self._writing.check_batch(len(prompts))
        stop = None if sampling.ignore_eos else self._eos
        answers = GenerationState(len(prompts), stop)
        for phase, new in self._worker.stream(partial(self._work, prompts, stop, sampling.max_new_tokens)):
            yield Step(phase, answers.extend(new) if new else ())

    def _work(
        self, prompts: Sequence[EncodedPrompt], stop: int | None, limit: int, tell: HandOver[Event]
    ) -> None:
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # OpenMP keeps this per thread
        # Inference mode is per thread, too. An answer that nobody reads on ends in the middle of generate().
        with torch.inference_mode(), suppress(_Unwanted):
            self._writing(prompts, stop, limit, tell)


class _Writing:
    """The models of one method, and how generate() is called with them."""

    def __init__(self, method: str, models: Mapping[Model, PreTrainedModel], pad: int) -> None:
        # Shallow copies: the same weights with generation settings of their own.
        self._writer, *drafters = (copy.copy(models[name]) for name in METHODS[method].models)
        self._drafter = drafters[0] if drafters else None
        self._method, self._pad = method, pad
        self._phase: Phase = "verify" if METHODS[method].lossless else "decode"
        self._how: dict[str, Any] = {}
        if self._drafter is not None:
            self._how["assistant_model"] = self._drafter
            logging.getLogger("transformers.generation.utils").addFilter(_tells_a_user)
        elif METHODS[method].drafter == "lookup":
            self._how["prompt_lookup_num_tokens"] = LOOKUP_TOKENS

    def check_batch(self, batch: int) -> None:
        """Raise EngineError when transformers cannot answer so many prompts at once."""
        if batch > 1 and self._phase == "verify":
            raise EngineError(
                f"transformers' assisted generation answers one prompt at a time and {batch} were given "
                f"to {self._method}; use a batch size of 1."
            )

    def __call__(
        self, prompts: Sequence[EncodedPrompt], stop: int | None, limit: int, tell: HandOver[Event]
    ) -> None:
        """Read B prompts and write up to `limit` ids for each, telling of each phase that ends."""
        width = max(len(prompt.token_ids) for prompt in prompts)
        lacking = [width - len(prompt.token_ids) for prompt in prompts]
        rows = [[*prompt.token_ids, *[self._pad] * n] for prompt, n in zip(prompts, lacking, strict=True)]
        device = self._writer.device
        ids = torch.tensor(rows, device=device)  # (B, S)
        mask = torch.tensor([[1] * (width - n) + [0] * n for n in lacking], device=device)  # (B, S)
        states = self._read(ids, mask, tell)
        for model in (self._writer, self._drafter):
            if model is not None:
                model.generation_config = _greedy(model, stop, self._pad)
        cast(Any, self._writer).generate(
            input_ids=ids,
            attention_mask=mask,
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            max_new_tokens=limit,
            streamer=_Streamer(self._phase, tell),
            **self._how,
        )

    def _read(self, ids: torch.Tensor, mask: torch.Tensor, tell: HandOver[Event]) -> torch.Tensor:
        """(B, S, D) encoder hidden states for the writer; a hybrid that drafts gets its own from the same."""
        if isinstance(self._writer, HybridForConditionalGeneration):
            read = self._writer.read(ids, mask)
        else:
            read = self._writer.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        self._tell_phase("encode", tell)
        hybrid = self._writer if self._drafter is None else self._drafter
        if not isinstance(hybrid, HybridForConditionalGeneration):
            return read
        projected = hybrid.encode(ids, mask, read)
        self._tell_phase("project", tell)
        if hybrid is self._writer:
            return projected
        # Left alone, generate() would have the drafter's LLM read the prompt once more.
        hybrid.get_encoder = partial(_HasRead, projected)  # type: ignore[method-assign]
        return read

    def _tell_phase(self, phase: Phase, tell: HandOver[Event]) -> None:
        if self._writer.device.type != "cpu":
            torch.accelerator.synchronize(self._writer.device)
        tell((phase, []))


class _HasRead(nn.Module):
    """Stands for an encoder whose hidden states are known."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self._states = states

    def forward(self, **_: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self._states)


class _Streamer(BaseStreamer):
    """What generate() gives its ids to: first the start tokens, then those it has written."""

    def __init__(self, phase: Phase, tell: HandOver[Event]) -> None:
        self._phase, self._tell, self._puts = phase, tell, 0

    def put(self, value: torch.Tensor) -> None:
        """value: on the CPU, (B,) an id for each row, or in assisted generation (1, n)."""
        self._puts += 1
        if self._puts > 1:
            rows = value.tolist() if value.dim() == 2 else value.unsqueeze(1).tolist()
            if self._tell(("prefill" if self._puts == 2 else self._phase, rows)):
                raise _Unwanted

    def end(self) -> None:
        """Nothing is held back."""


class _Unwanted(Exception):
    """Nobody reads the answer any more."""


def _greedy(model: PreTrainedModel, stop: int | None, pad: int) -> GenerationConfig:
    # Without an id to stop at, that of the tokenizer is written like any other and generate() goes on.
    # min_new_tokens would forbid it instead, which changes what is written.
    return GenerationConfig(
        decoder_start_token_id=model.config.decoder_start_token_id,
        eos_token_id=stop,
        pad_token_id=pad,
        do_sample=False,
        num_beams=1,
    )


def _ready(model: PreTrainedModel, device: torch.device, dtype: str) -> PreTrainedModel:
    """Copy a model to the device in a precision, as from_pretrained(dtype=...) would give it."""
    if dtype == INT8:
        return _quantized(model)
    precision: torch.dtype = getattr(torch, dtype)
    on_device = model.device.type == device.type and device.index in (None, model.device.index)
    if on_device and model.dtype == precision:
        return model
    moved: PreTrainedModel = cast(Any, copy.deepcopy(model)).to(device=device, dtype=precision)
    if precision == torch.float16:
        for name, module in moved.named_modules():
            if name.rpartition(".")[2] in (moved._keep_in_fp32_modules or ()):
                module.float()
    return moved


def _quantized(model: PreTrainedModel) -> PreTrainedModel:
    """Copy a model with int8 weights in every linear layer, whose inputs are quantized as they come."""
    with warnings.catch_warnings():
        # It is to go in favour of another package, but it is what torch itself has until then.
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", "torch.quantize_per_tensor, .* deprecated", UserWarning)
        try:
            return cast(PreTrainedModel, torch.ao.quantization.quantize_dynamic(model, {nn.Linear}))
        except RuntimeError as error:
            raise EngineError(
                "This build of torch has no int8 kernels for this CPU; use --engine transformers."
            ) from error


def _tells_a_user(record: logging.LogRecord) -> bool:
    # Assisted generation calls generate() for its drafts in a way that generate() warns of.
    return "Passing `generation_config` together with" not in record.getMessage()
