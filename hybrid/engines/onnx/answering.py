"""How the onnx engine answers once an encoder has read the prompts: one id at a time, or by drafts."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from hybrid.engines.onnx.parts import Parts
from hybrid.engines.onnx.reading import States
from hybrid.engines.onnx.writing import Decoder, Writer
from hybrid.engines.speculative import (
    MIN_DRAFT_PROBABILITY,
    DecoderDrafter,
    DraftLength,
    LookupDrafter,
    speculate,
)
from hybrid.errors import EngineError
from hybrid.schema import METHODS, Model, Phase, Sampling, Step

CHUNK = 8  # ids of an answer that come in one Step
LOOKUP_COST = 0.1  # of an id more in a pass of the LLM, over a pass for one id

Prompts = Sequence[Sequence[int]]  # the ids of each


class Answering(Protocol):
    """What answers: the Steps after encode, up to the last id."""

    def answer(self, prompts: Prompts, states: Sequence[States], sampling: Sampling) -> Iterator[Step]:
        """states: of each prompt, by the encoder that reads first."""


class Greedy:
    """A model of the pair writes, one id at a time for each of B prompts."""

    def __init__(self, parts: Parts, model: Model, eos: int) -> None:
        self.fusion = parts.fusion() if model == "hybrid" else None
        self.decoder = Decoder(parts.writer(model))
        self.eos = eos

    def answer(self, prompts: Prompts, states: Sequence[States], sampling: Sampling) -> Iterator[Step]:
        if self.fusion is not None:
            states = [self.fusion(ids, latent) for ids, latent in zip(prompts, states, strict=True)]
            yield Step("project")
        stop = None if sampling.ignore_eos else self.eos
        self.decoder.read(states, sampling.max_new_tokens)
        if len(prompts) == 1:
            yield from self._one(sampling.max_new_tokens, stop)
        else:
            yield from self._several(len(prompts), sampling.max_new_tokens, stop)

    def _one(self, limit: int, stop: int | None) -> Iterator[Step]:
        """An answer in chunks: for a small model, a Step for each token would take a tenth of the time."""
        new = self.decoder.follow(self.decoder.writer.start, 0, 1, stop)
        yield Step("prefill", (tuple(new),))
        position = 1
        while position < limit and new[-1] != stop:
            new = self.decoder.follow(new[-1], position, min(CHUNK, limit - position), stop)
            position += len(new)
            yield Step("decode", (tuple(new),))

    def _several(self, batch: int, limit: int, stop: int | None) -> Iterator[Step]:
        open_rows = dict.fromkeys(range(batch), self.decoder.writer.start)
        for position in range(limit):
            new = self.decoder.step(open_rows, position)
            ids = tuple((new[row],) if row in new else () for row in range(batch))
            yield Step("decode" if position else "prefill", ids)
            open_rows = {row: token for row, token in new.items() if token != stop}
            if not open_rows:
                return


class Lossless:
    """The LLM's own ids for one prompt, by drafts of another model of the pair or of prompt lookup.

    Its own in float32. In 8 bits attention over several tokens at once may round an activation otherwise than
    attention over each: of 118 answers of the bundled pair 108 were the same.
    """

    def __init__(self, parts: Parts, method: str, eos: int) -> None:
        verifies, *drafts = METHODS[method].models
        self.eos = eos
        self.verifier = Rewinding(parts.writer(verifies), eos)
        self.small = _Small(parts, drafts[0], eos) if drafts else None
        known = self.verifier.vocabulary
        if self.small is not None and self.small.decoder.vocabulary != known:
            raise EngineError(
                f"The LLM has {known} ids and the {drafts[0]} {self.small.decoder.vocabulary}, so neither "
                "can draft for the other; leave out the lossless methods."
            )

    def answer(self, prompts: Prompts, states: Sequence[States], sampling: Sampling) -> Iterator[Step]:
        (prompt,), (latent,) = prompts, states
        self.verifier.prefill(latent, sampling.max_new_tokens)
        if self.small is None:
            lookup = LookupDrafter(prompt, self.eos)
            yield from speculate(self.verifier, lookup, sampling, self.eos, DraftLength(LOOKUP_COST))
            return
        steps = speculate(self.verifier, DecoderDrafter(self.small.decoder, self.eos), sampling, self.eos)
        yield next(steps)  # the first id waits for the LLM alone
        yield self.small.read(prompt, latent, sampling.max_new_tokens)
        yield from steps


class _Small:
    """The model that drafts, the hybrid or the SLM: in 8 bits, since the LLM looks at every id anyway."""

    def __init__(self, parts: Parts, model: Model, eos: int) -> None:
        self.decoder = Rewinding(parts.writer(model, "blocks"), eos)
        self._fuses = model == "hybrid"
        self._reader = parts.fusion() if self._fuses else parts.encoder(model)
        self._phase: Phase = "project" if self._fuses else "encode"

    def read(self, prompt: Sequence[int], latent: States, capacity: int) -> Step:
        """latent: the LLM's states."""
        self.decoder.prefill(self._reader(prompt, latent if self._fuses else None), capacity)
        return Step(self._phase)


class Rewinding:
    """speculative.DraftableDecoder with a writer. eos: the id that ends a draft.

    Going back is free: a pass writes its keys and values at their positions and
    looks at none behind them.
    """

    def __init__(self, writer: Writer, eos: int) -> None:
        self._decoder, self._eos = Decoder(writer), eos
        self.start, self.vocabulary = writer.start, writer.ids

    def prefill(self, states: States, capacity: int) -> None:
        self._decoder.read([states], capacity)

    def verify(self, tokens: Sequence[int], position: int) -> list[int]:
        ids: list[int] = self._decoder.run([tokens], position)[0].argmax(axis=1).tolist()
        return ids

    def draft(self, token: int, position: int, count: int) -> list[int]:
        """Up to `count` ids one after another; the last one is eos, or makes the draft unlikely."""
        drafted: list[int] = []
        chance = 1.0
        for place in range(position, position + count):
            logits = self._decoder.run([[token]], place)[0, 0]
            token = int(logits.argmax())
            drafted.append(token)
            chance /= float(np.exp(logits - logits[token]).sum())  # times the id's probability
            if token == self._eos or chance < MIN_DRAFT_PROBABILITY:
                break
        return drafted
