"""How long a pair of any two sizes takes to answer, by phase, on a device that was profiled.

Each method is predicted as the phases that it consists of:

    llm     LLM encoder                             LLM prefill, LLM steps
    slm     SLM encoder                             SLM prefill, SLM steps
    hybrid  LLM encoder, then projector and SLM encoder, SLM prefill, SLM steps

Letters: S prompt tokens, T answer tokens, B prompts at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid.errors import InputError
from hybrid.models.arithmetic import writer_of
from hybrid.models.shapes import Shape
from hybrid.schema import MODELS, Model, Phase
from hybrid.sizing.cost_features import (
    cross_terms,
    decoder_place,
    encode_terms,
    encoder_place,
    projector_terms,
    step_terms,
)
from hybrid.sizing.profile import Profile, between


@dataclass(frozen=True)
class Pair:
    """Two sizes that are to work together."""

    llm: Shape
    slm: Shape


@dataclass(frozen=True)
class Request:
    """B prompts of S tokens each, answered with T tokens each."""

    prompt: int
    output: int
    batch: int = 1

    def __post_init__(self) -> None:
        for name in ("prompt", "output", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class Predicted:
    """Seconds of one method on one request, none of them measured.

    phases: in the order in which they happen. tpot_s: per token after the
    first; None when there is none.
    """

    method: Model
    phases: Mapping[Phase, float]
    ttft_s: float
    tpot_s: float | None

    @property
    def total_s(self) -> float:
        """End to end, tokenizing and detokenizing included."""
        return sum(self.phases.values())


def predict(pair: Pair, request: Request, profile: Profile) -> dict[Model, Predicted]:
    """All three methods on one request. Raises InputError when a model has too few positions for it."""
    for shape in (pair.llm, pair.slm):
        asked = max(request.prompt, request.output)
        if shape.positions is not None and asked > shape.positions:
            raise InputError(
                f"{shape.name} has positions for {shape.positions} tokens and {asked} are asked for. "
                "Shorten the prompt or the answer, or take a T5, which has no such limit."
            )
    return {method: predicted(method, pair, request, profile) for method in MODELS}


def predicted(method: Model, pair: Pair, request: Request, profile: Profile) -> Predicted:
    """One method on one request."""
    writer = writer_of(method, pair.llm, pair.slm)
    reader = pair.slm if method == "slm" else pair.llm
    phases: dict[Phase, float] = {
        "tokenize": _per_token(profile.tokenize, request.batch, request.prompt),
        "encode": encode_s(reader, request, profile),
    }
    if method == "hybrid":
        phases["project"] = _projecting_s(pair, request, profile) + encode_s(pair.slm, request, profile)
    phases["prefill"] = _prefill_s(writer, request, profile)
    ttft_s = sum(phases.values())
    steps = request.output - 1
    # What a step costs grows by the same with each token, so that the step in the middle is their mean.
    step = step_s(writer, request.batch, request.prompt + 1 + (steps + 1) / 2, profile)
    phases["decode"] = steps * step
    phases["detokenize"] = _per_token(profile.detokenize, request.batch, request.output)
    return Predicted(method, phases, ttft_s, step if steps else None)


def encode_s(reader: Shape, request: Request, profile: Profile) -> float:
    """An encoder over the prompts, in seconds."""
    terms = encode_terms(reader, request.batch, request.prompt)
    return between(profile.encode, (request.batch, request.prompt), terms, encoder_place(reader))


def step_s(writer: Shape, batch: int, past: float, profile: Profile) -> float:
    """One step of a decoder, whose answers attend to `past` tokens each, in seconds."""
    return between(profile.step, (batch, 0), step_terms(writer, past), decoder_place(writer))


def _prefill_s(writer: Shape, request: Request, profile: Profile) -> float:
    """Keys and values of the prompts, and the first step."""
    size = request.batch, request.prompt
    beyond = between(profile.prefill, size, cross_terms(writer, *size))
    return beyond + step_s(writer, request.batch, request.prompt + 1, profile)


def _projecting_s(pair: Pair, request: Request, profile: Profile) -> float:
    """The projector alone: what its products cost an encoder."""
    size = request.batch, request.prompt
    return between(profile.encode, size, projector_terms(pair.llm, pair.slm, *size))


def _per_token(seconds: Sequence[float], batch: int, tokens: int) -> float:
    """seconds: of a request, of each of its prompts, of each token of these."""
    request, prompt, token = seconds
    return request + prompt * batch + token * batch * tokens
