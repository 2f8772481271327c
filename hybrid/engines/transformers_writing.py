"""How transformers' generate() is called so that the time of each part is known.

    encoder-decoder     encode, then generate() over the encoder's hidden states
    decoder-only        generate() over the prompt's ids, padding first
    hybrid              encode, project, then generate() of its SLM: over the hidden states of the
                        SLM's encoder, or over the fused prompt, padding first

Letters: B prompts, S tokens of the longest, D width of the hidden states.
"""

import copy
import logging
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation.streamers import BaseStreamer
from transformers.modeling_outputs import BaseModelOutput

from hybrid.engines.generation import HandOver
from hybrid.errors import EngineError
from hybrid.models.architectures import sizes_of
from hybrid.models.architectures.records import Sizes
from hybrid.models.context import check_room, contexts_of
from hybrid.models.pair import Hybrid, HybridForCausalLM, HybridForConditionalGeneration
from hybrid.models.reading import devices_of
from hybrid.schema import METHODS, EncodedPrompt, Model, Phase

LOOKUP_TOKENS = 10  # the default of transformers' PromptLookupCandidateGenerator
Event: TypeAlias = tuple[Phase, list[list[int]]]  # a phase that has ended, and the ids of B rows it brought


class Writing:
    """The models of one method, and how generate() is called with them.

    reader_pad, pad: ids of padding, of prompts and of answers. Raises EngineError
    when transformers cannot let one of the models draft for the other.
    """

    def __init__(
        self, method: str, models: Mapping[Model, PreTrainedModel], reader_pad: int, pad: int
    ) -> None:
        # Shallow copies: the same weights with generation settings of their own.
        writer, *drafters = (copy.copy(models[name]) for name in METHODS[method].models)
        self._prefixed = writer if isinstance(writer, HybridForCausalLM) else None
        self._writer = copy.copy(self._prefixed.slm) if self._prefixed else writer
        self._drafter = drafters[0] if drafters else None
        self._method, self._reader_pad, self._pad = method, reader_pad, pad
        self._phase: Phase = "verify" if METHODS[method].lossless else "decode"
        self._settings = [
            (model, {"decoder_start_token_id": _start(model)} | _suppressed(model))
            for model in (self._writer, self._drafter)
            if model is not None
        ]
        self._contexts = contexts_of(models[name].config for name in METHODS[method].models)
        self._how: dict[str, Any] = {}
        if self._drafter is not None:
            _check_drafts(method, self._writer, self._drafter)
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
        self, prompts: Sequence[EncodedPrompt], stop: Collection[int], limit: int, tell: HandOver[Event]
    ) -> None:
        """Read B prompts and write up to `limit` ids for each, telling of each phase that ends."""
        longest = max(len(prompt.token_ids) for prompt in prompts)
        check_room(self._contexts, longest, limit)
        inputs = self._inputs(*self._padded(prompts, longest), tell)
        for model, settings in self._settings:
            model.generation_config = _greedy(settings, stop, self._pad)
        cast(Any, self._writer).generate(
            **inputs, max_new_tokens=limit, streamer=_Streamer(self._phase, tell), **self._how
        )

    def _padded(self, prompts: Sequence[EncodedPrompt], longest: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask, (B, S); a decoder-only model has padding first, so that its answers grow in step."""
        rows, masks = [], []
        for prompt in prompts:
            ids, lacking = prompt.token_ids, longest - len(prompt.token_ids)
            before, after = (0, lacking) if self._writer.config.is_encoder_decoder else (lacking, 0)
            rows.append([*[self._reader_pad] * before, *ids, *[self._reader_pad] * after])
            masks.append([*[0] * before, *[1] * len(ids), *[0] * after])
        device = self._writer.device
        return torch.tensor(rows, device=device), torch.tensor(masks, device=device)

    def _inputs(self, ids: torch.Tensor, mask: torch.Tensor, tell: HandOver[Event]) -> dict[str, Any]:
        """Make what generate() is given of B prompts, with all that it would compute of them alone."""
        if self._prefixed is not None:
            read = self._prefixed.read(ids, mask)
            self._tell_phase("encode", tell)
            rows, mask = self._prefixed.prefix(ids, mask, read)
            self._tell_phase("project", tell)
            return {"inputs_embeds": rows, "attention_mask": mask}
        inputs = {"input_ids": ids, "attention_mask": mask}
        if not self._writer.config.is_encoder_decoder:
            return inputs
        return inputs | {"encoder_outputs": BaseModelOutput(last_hidden_state=self._read(ids, mask, tell))}

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
        reads_alike = hybrid is self._writer or hybrid.config.layer is None
        projected = hybrid.encode(ids, mask, read if reads_alike else None)
        self._tell_phase("project", tell)
        if hybrid is self._writer:
            return projected
        # Left alone, generate() would have the drafter's LLM read the prompt once more.
        hybrid.get_encoder = partial(_HasRead, projected)  # type: ignore[method-assign]
        return read

    def _tell_phase(self, phase: Phase, tell: HandOver[Event]) -> None:
        if self._writer.device.type != "cpu":
            spread = (torch.device(name) for name in devices_of(self._writer) if name.startswith("cuda"))
            for device in {self._writer.device, *spread}:
                torch.accelerator.synchronize(device)
        tell((phase, []))


class _HasRead(nn.Module):
    """Stands for an encoder whose hidden states are known."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self._states = states

    def forward(self, **_: Any) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self._states)


class _Streamer(BaseStreamer):
    """What generate() gives its ids to: first those that stand before the answer, then the answer's."""

    def __init__(self, phase: Phase, tell: HandOver[Event]) -> None:
        self._phase, self._tell, self._puts = phase, tell, 0

    def put(self, value: torch.Tensor) -> None:
        """value: on the CPU, (B,) an id for each row, or in assisted generation (1, n)."""
        self._puts += 1
        if self._puts > 1:
            rows = value.tolist() if value.dim() == 2 else value.unsqueeze(1).tolist()
            if self._tell(("prefill" if self._puts == 2 else self._phase, rows)):
                raise Unwanted

    def end(self) -> None:
        """Nothing is held back."""


class Unwanted(Exception):
    """Nobody reads the answer any more."""


def _check_drafts(method: str, writer: PreTrainedModel, drafter: PreTrainedModel) -> None:
    encode = [model.config.is_encoder_decoder for model in (writer, drafter)]
    kinds = ["an encoder-decoder" if encodes else "decoder-only" for encodes in encode]
    if kinds[0] != kinds[1] or isinstance(drafter, HybridForCausalLM):
        hybrid = "a hybrid that is " if isinstance(drafter, HybridForCausalLM) else ""
        raise EngineError(
            f"transformers' assisted generation has no {method} of an LLM that is {kinds[0]} with drafts of "
            f"{hybrid}{kinds[1]}; use --engine torch."
        )
    known = [model.config.get_text_config(decoder=True).vocab_size for model in (writer, drafter)]
    if known[0] != known[1]:
        raise EngineError(
            f"The LLM has {known[0]} ids and what drafts {known[1]}, so neither can draft for the other; "
            "leave out the lossless methods."
        )


def _start(model: PreTrainedModel) -> int | None:
    """Find the id that stands before an answer; of no meaning in a decoder-only model."""
    settings = model.generation_config
    start = settings.decoder_start_token_id
    return cast(int | None, settings.bos_token_id if start is None else start)


def _suppressed(model: PreTrainedModel) -> dict[str, Any]:
    """Name the id that a model never writes, where there is one."""
    config = model.config.slm if isinstance(model, Hybrid) else model.config
    never = about.never if (about := _sizes(config)) else None
    return {} if never is None else {"suppress_tokens": [never]}


def _sizes(config: PretrainedConfig) -> Sizes | None:
    """Read a model's sizes; None where no architecture covers it."""
    try:
        return sizes_of(config)
    except EngineError:
        return None


def _greedy(settings: Mapping[str, Any], stop: Collection[int], pad: int) -> GenerationConfig:
    # Without ids to stop at, those of the tokenizer are written like any other and generate() goes on.
    # min_new_tokens would forbid it instead, which changes what is written.
    return GenerationConfig(
        **settings,
        eos_token_id=list(stop) or None,
        pad_token_id=pad,
        do_sample=False,
        num_beams=1,
    )


def _tells_a_user(record: logging.LogRecord) -> bool:
    # Assisted generation calls generate() for its drafts in a way that generate() warns of.
    return "Passing `generation_config` together with" not in record.getMessage()
