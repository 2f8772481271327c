"""How the torch engine writes once an encoder has read the prompts: one id at a time, or by drafts.

Letters: B prompts, N tokens of all, one after another; D model width; V vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from hybrid.engines.layout import Layout
from hybrid.engines.speculative import DecoderDrafter, DraftLength, LookupDrafter, speculate
from hybrid.engines.t5_batch_decoder import T5BatchDecoder
from hybrid.engines.t5_rewindable import T5Rewindable
from hybrid.engines.torch_parts import Parts
from hybrid.errors import EngineError
from hybrid.schema import METHODS, Model, Phase, Sampling, Step

LOOKUP_COST = 0.05  # of an id more in a pass of the LLM, over a pass for one id


@dataclass(frozen=True)
class Prompts:
    """The ids of all prompts, (N,), and where each prompt stands."""

    ids: torch.Tensor
    layout: Layout


class Writer(Protocol):
    """What answers: the Steps after encode, up to the last id."""

    def write(self, prompts: Prompts, states: torch.Tensor, sampling: Sampling) -> Iterator[Step]:
        """states: (N, D), of the encoder that reads first."""


class Greedy:
    """A model of the pair writes, one id at a time for each of B prompts."""

    def __init__(self, parts: Parts, model: Model, eos: int) -> None:
        self.fusion = parts.fusion() if model == "hybrid" else None
        self.decoder = parts.decoder(model)
        self.batch_decoder = T5BatchDecoder(self.decoder)
        self.eos = eos

    def write(self, prompts: Prompts, states: torch.Tensor, sampling: Sampling) -> Iterator[Step]:
        if self.fusion is not None:
            states = self.fusion(prompts.ids, states, prompts.layout)
            yield Step("project")
        batch, stop = prompts.layout.batch, None if sampling.ignore_eos else self.eos
        decoder: _Decoder = self.decoder if batch == 1 else self.batch_decoder
        last = decoder.prefill(states, prompts.layout, sampling.max_new_tokens)
        yield Step("prefill", _by_row(last, batch))
        for position in range(1, sampling.max_new_tokens):
            going_on = {row: token for row, token in last.items() if token != stop}
            if not going_on:
                return
            last = decoder.step(going_on, position)
            yield Step("decode", _by_row(last, batch))


class _Decoder(Protocol):
    """t5_decoder for one answer, t5_batch_decoder for several, each known by its row."""

    def prefill(self, states: torch.Tensor, layout: Layout, capacity: int) -> dict[int, int]: ...

    def step(self, tokens: Mapping[int, int], position: int) -> dict[int, int]: ...


def _by_row(new: Mapping[int, int], batch: int) -> tuple[tuple[int, ...], ...]:
    """Ids as a Step holds them: empty for a row that has ended."""
    return tuple((new[row],) if row in new else () for row in range(batch))


class Lossless:
    """The LLM's own ids for one prompt, by drafts of another model of the pair or of prompt lookup."""

    def __init__(self, parts: Parts, method: str, eos: int) -> None:
        self.eos = eos
        _, *drafts = METHODS[method].models
        # Most passes of a lookup are over one id, for want of a match.
        self.verifier = T5Rewindable(parts.decoder("llm", several=bool(drafts)), eos)
        self.small = _Small(parts, drafts[0], eos) if drafts else None
        known, drafted = self.verifier.ids, self.small.decoder.ids if self.small else 0
        if drafts and known != drafted:
            raise EngineError(
                f"The LLM has {known} ids and the {drafts[0]} {drafted}, so neither can draft for the other; "
                "leave out the lossless methods."
            )

    def write(self, prompts: Prompts, states: torch.Tensor, sampling: Sampling) -> Iterator[Step]:
        self.verifier.read(states, sampling.max_new_tokens)
        if self.small is None:
            lookup = LookupDrafter(prompts.ids.tolist(), self.eos)
            yield from speculate(self.verifier, lookup, sampling, self.eos, DraftLength(LOOKUP_COST))
            return
        yield self.small.read(prompts, states, sampling.max_new_tokens)
        drafter = DecoderDrafter(self.small.decoder, self.eos)
        yield from speculate(self.verifier, drafter, sampling, self.eos, from_start=True)


class _Small:
    """The model that drafts, the hybrid or the SLM."""

    def __init__(self, parts: Parts, model: Model, eos: int) -> None:
        self.decoder = T5Rewindable(parts.decoder(model), eos)
        self._phase: Phase
        self._states: Callable[[Prompts, torch.Tensor], torch.Tensor]  # from the LLM's states
        if model == "hybrid":
            fusion = parts.fusion()
            self._phase, self._states = "project", lambda p, states: fusion(p.ids, states, p.layout)
        else:
            reader = parts.reader(model)
            self._phase, self._states = "encode", lambda p, _: reader(p.ids, p.layout)

    def read(self, prompts: Prompts, states: torch.Tensor, capacity: int) -> Step:
        self.decoder.read(self._states(prompts, states), capacity)
        return Step(self._phase)
