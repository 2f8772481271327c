"""How prompts are answered, whatever computes: one greedy id after another, or by drafts that are verified.

An engine brings a `Backend`: encoders, the fusion of a hybrid and decoders that
keep their caches. The order of the work, the Steps and the ends of answers are
written here, once for all of them.

    greedy        encode (project) prefill decode decode ...
    speculative   encode, then draft and verify in turn, see speculative.py

Positions are those of the answer: 0 is what stands before it, T5's start id or
the last token of a decoder-only model's prompt, and the first id follows at 1.

Letters: B prompts, N ids of a step.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Generic, Protocol, TypeAlias, TypeVar

from hybrid.engines.speculative import (
    DecoderDrafter,
    DraftableDecoder,
    DraftLength,
    LookupDrafter,
    speculate,
)
from hybrid.errors import EngineError
from hybrid.schema import METHODS, Model, Phase, Sampling, Step

S = TypeVar("S")  # what a backend keeps of B encoded prompts
S_co = TypeVar("S_co", covariant=True)
S_contra = TypeVar("S_contra", contravariant=True)
Prompts: TypeAlias = Sequence[Sequence[int]]  # the ids of each


class Encoder(Protocol[S_co]):
    """What encodes B prompts for a decoder.

    phase: that it makes; None where nothing is computed yet, as a decoder-only
    model takes the prompts themselves.
    """

    @property
    def phase(self) -> Phase | None: ...

    def __call__(self, prompts: Prompts) -> S_co: ...


class Fusion(Protocol[S]):
    """What makes the LLM's states those that a hybrid's decoder takes."""

    def __call__(self, states: S) -> S: ...


class DecoderBackend(Protocol[S_contra]):
    """A model's decoder and its caches, for one generation at a time.

    start: the id that stands at position 0; of no meaning in a decoder-only model.
    """

    @property
    def start(self) -> int: ...

    def prefill(self, states: S_contra, capacity: int) -> None:
        """Take B new prompts, with answers of up to `capacity` ids; what the caches held is dropped.

        The work may be left to the first `extend`.
        """

    def extend(
        self, tokens: Mapping[int, int], position: int, count: int, stop: Collection[int]
    ) -> Mapping[int, Sequence[int]]:
        """Give the next ids of each open answer, by row: N of them, 1 to `count`, as suits the backend.

        tokens: the last id of each open answer; they all stand at `position`. A
        row that is left out has ended and cannot come back. stop: no row gets
        ids after one of these.
        """


class GreedyBackend(Protocol[S]):
    """What an engine brings for greedy decoding."""

    def encoder(self, model: Model) -> Encoder[S]:
        """Give what reads prompts first for `model`: of a hybrid, the LLM's."""

    def fusion(self) -> Fusion[S]:
        """Give the hybrid's."""

    def decoder(self, model: Model) -> DecoderBackend[S]:
        """Give a decoder with caches of its own."""


class Backend(GreedyBackend[S], Protocol[S]):
    """What an engine brings that drafts, too.

    drafts_first: whether a draft comes before prefill, which then verifies it,
    see speculative.py. lookup_cost: of an id more in a pass of the LLM, over a
    pass for one id.
    """

    @property
    def drafts_first(self) -> bool: ...

    @property
    def lookup_cost(self) -> float: ...

    def verifier(self, drafts: bool) -> DraftableDecoder[S]:
        """Give the LLM's decoder. drafts: whether a model drafts, so that most passes are over several."""

    def drafter(self, model: Model) -> DraftableDecoder[S]:
        """Give the decoder of `model` for drafts, with caches of its own."""


class DecodingStrategy(Protocol):
    """What answers prompts by a method."""

    def decode(self, prompts: Prompts, sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts: Steps encode, (project,) prefill and so on, up to the last id."""


def decoding_strategy(backend: Backend[S], method: str, eos: Collection[int]) -> DecodingStrategy:
    """Make what answers by `method`, of METHODS; an id of `eos` ends an answer.

    Raises EngineError when the models cannot work together.
    """
    models, drafter = METHODS[method].models, METHODS[method].drafter
    if drafter is None:
        return GreedyDecoding(backend, models[-1], eos)
    return SpeculativeDecoding(backend, models[0], None if drafter == "lookup" else drafter, eos)


class GreedyDecoding(Generic[S]):
    """A model of the pair writes, the most probable id at a time, for each of B prompts."""

    def __init__(self, backend: GreedyBackend[S], model: Model, eos: Collection[int]) -> None:
        self.encoder = backend.encoder(model)
        self.fusion = backend.fusion() if model == "hybrid" else None
        self.decoder = backend.decoder(model)
        self.eos = eos

    def decode(self, prompts: Prompts, sampling: Sampling) -> Iterator[Step]:
        states = self.encoder(prompts)
        if self.encoder.phase is not None:
            yield Step(self.encoder.phase)
        if self.fusion is not None:
            states = self.fusion(states)
            yield Step("project")
        rows, limit = range(len(prompts)), sampling.max_new_tokens
        stop = () if sampling.ignore_eos else self.eos
        self.decoder.prefill(states, limit)
        tokens = dict.fromkeys(rows, self.decoder.start)
        position = 0
        while tokens and position < limit:
            new = self.decoder.extend(tokens, position, limit - position if position else 1, stop)
            phase: Phase = "decode" if position else "prefill"
            yield Step(phase, tuple(tuple(new.get(row, ())) for row in rows))
            position += max(map(len, new.values()))
            tokens = {row: ids[-1] for row, ids in new.items() if ids[-1] not in stop}


class SpeculativeDecoding(Generic[S]):
    """The LLM's own ids for one prompt, by drafts of another model of the pair or of prompt lookup."""

    def __init__(self, backend: Backend[S], model: Model, drafts: Model | None, eos: Collection[int]) -> None:
        self.encoder = backend.encoder(model)
        self.verifier = backend.verifier(drafts is not None)
        self.drafter = None if drafts is None else ModelDrafts(backend, drafts, self.encoder)
        self.drafts_first, self.lookup_cost = backend.drafts_first, backend.lookup_cost
        self.eos = eos
        if self.drafter is not None:
            check_vocabularies(self.verifier.vocabulary, self.drafter.decoder.vocabulary, drafts)

    def decode(self, prompts: Prompts, sampling: Sampling) -> Iterator[Step]:
        (prompt,) = prompts
        states = self.encoder(prompts)
        if self.encoder.phase is not None:
            yield Step(self.encoder.phase)
        self.verifier.prefill(states, sampling.max_new_tokens)
        if self.drafter is None:
            lookup = LookupDrafter(prompt, self.eos)
            length = DraftLength(self.lookup_cost)
            yield from speculate(self.verifier, lookup, sampling, self.eos, length)
            return
        drafter = DecoderDrafter(self.drafter.decoder, self.eos)
        steps = speculate(self.verifier, drafter, sampling, self.eos, from_start=self.drafts_first)
        if not self.drafts_first:
            yield next(steps)  # the first id waits for the LLM alone
        yield from self.drafter.prefill(prompts, states, sampling.max_new_tokens)
        yield from steps


class ModelDrafts(Generic[S]):
    """The model that drafts, the hybrid or the SLM. llm_encoder: what has read the prompt for the LLM."""

    def __init__(self, backend: Backend[S], model: Model, llm_encoder: Encoder[S]) -> None:
        self.decoder = backend.drafter(model)
        encoder = backend.encoder(model)
        self.encoder = None if encoder is llm_encoder else encoder
        self.fusion = backend.fusion() if model == "hybrid" else None

    def prefill(self, prompts: Prompts, states: S, capacity: int) -> Iterator[Step]:
        """Let it take the prompt. states: the LLM's."""
        phase: Phase | None = None
        if self.encoder is not None:
            states, phase = self.encoder(prompts), self.encoder.phase
        if self.fusion is not None:
            if phase is not None:
                yield Step(phase)
            states, phase = self.fusion(states), "project"
        self.decoder.prefill(states, capacity)
        if phase is not None:
            yield Step(phase)


def check_vocabularies(llm: int, drafter: int, drafts: Model | None) -> None:
    """Raise EngineError when the model that drafts has not as many ids as the LLM."""
    if llm != drafter:
        raise EngineError(
            f"The LLM has {llm} ids and the {drafts} {drafter}, so neither can draft for the other; "
            "leave out the lossless methods."
        )


def check_batch(method: str, prompts: int) -> None:
    """Raise EngineError when there are more prompts than `method` answers at once."""
    if prompts > 1 and METHODS[method].lossless:
        raise EngineError(
            f"A lossless method answers one prompt at a time, and {prompts} were given; use --batch-size 1."
        )


def compact(rows: list[int], open_rows: Collection[int]) -> list[tuple[int, int]]:
    """Drop from `rows`, which answer stands at each place of a cache, those that are not open.

    Gives the moves (from, to) that close the gaps: the last open ones take the
    places of those that have ended, so that the caches' first places are all open.
    """
    count = sum(row in open_rows for row in rows)
    gaps = [place for place, row in enumerate(rows[:count]) if row not in open_rows]
    movers = [place for place, row in enumerate(rows) if place >= count and row in open_rows]
    moves = list(zip(movers, gaps, strict=True))
    for mover, gap in moves:
        rows[gap] = rows[mover]
    del rows[count:]
    return moves
