"""The parts of a pair's models as the torch engine runs them, each packed once.

Letters: N tokens of all prompts, one after another; D model width; V vocabulary.
"""

from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Any, TypeVar, cast

import torch

from hybrid.engines.layout import Layout
from hybrid.engines.t5_decoder import T5Decoder
from hybrid.engines.t5_encoder import T5Encoder
from hybrid.engines.t5_layers import Target
from hybrid.models.architectures import check_supported
from hybrid.models.bundle import Bundle
from hybrid.models.fusion import fuse
from hybrid.schema import Model

P = TypeVar("P")


class Parts:
    """Packs the parts of `bundle` when they are first asked for; engines that are made together share them.

    It holds the bundle, so that an engine must not hold it.
    """

    def __init__(self, bundle: Bundle, target: Target) -> None:
        self._bundle, self._target = bundle, target
        self._made: dict[Hashable, Any] = {}

    def reader(self, model: Model) -> "Reader":
        """What reads a prompt for `model` first: the LLM's encoder or the SLM's own."""
        return self._reader(self._bundle.hybrid.llm if model == "hybrid" else self._bundle.model(model))

    def fusion(self) -> "Fusion":
        """What makes the LLM's states those of the hybrid."""
        hybrid = self._bundle.hybrid
        return self._once("fusion", lambda: Fusion(hybrid, self._target, self._reader(hybrid.slm)))

    def decoder(self, model: Model, several: bool = False) -> T5Decoder:
        """A decoder of `model` with caches of its own. several: see Target."""
        target = replace(self._target, several=several)
        if made := self._made.get((model, target.blocks)):
            return cast(T5Decoder, made).twin()
        writes = self._bundle.hybrid.slm if model == "hybrid" else self._bundle.model(model)
        check_supported(writes.config)
        return self._once((model, target.blocks), lambda: T5Decoder(writes, target))

    def _reader(self, model: Any) -> "Reader":
        check_supported(model.config)
        # The hybrid holds the LLM's very weights in modules of its own.
        weights = tuple(weight.data_ptr() for weight in model.get_encoder().parameters())
        return self._once(weights, lambda: Reader(model, self._target, self._bundle.max_prompt_tokens))

    def _once(self, key: Hashable, make: Callable[[], P]) -> P:
        if key not in self._made:
            self._made[key] = make()
        return cast(P, self._made[key])


class Reader:
    """(N,) prompt ids to the (N, D) hidden states of a T5's encoder."""

    def __init__(self, model: Any, target: Target, limit: int) -> None:
        self.embeddings = target.put(model.get_input_embeddings().weight)  # (V, D)
        self.encoder = T5Encoder(model.encoder, target, limit)

    def __call__(self, prompt_ids: torch.Tensor, layout: Layout) -> torch.Tensor:
        return self.encoder(self.embeddings[prompt_ids], layout)


class Fusion:
    """(N, d_llm) hidden states to the (N, d_slm) states of the hybrid's SLM encoder."""

    def __init__(self, hybrid: Any, target: Target, reader: Reader) -> None:
        self.up, self.down = (
            (target.put(linear.weight), target.put(linear.bias))
            for linear in (hybrid.projector.up, hybrid.projector.down)
        )
        self.how = hybrid.config.fusion
        self.reader = reader

    def __call__(self, prompt_ids: torch.Tensor, states: torch.Tensor, layout: Layout) -> torch.Tensor:
        linear = torch.nn.functional.linear
        latent = linear(torch.relu(linear(states, *self.up)), *self.down)
        own = self.reader.embeddings[prompt_ids]
        return self.reader.encoder(fuse(own, latent, torch.ones_like(prompt_ids), self.how), layout)
