"""How long a pair of any two sizes takes to answer, by phase, on a device that was profiled.

Each method is predicted as the phases that it consists of:

    llm     LLM encoder                             LLM prefill, LLM steps
    slm     SLM encoder                             SLM prefill, SLM steps
    hybrid  LLM encoder, then projector and SLM encoder, SLM prefill, SLM steps

A hybrid pays on reading, where it does more than the LLM, and gains with each token that it
writes: the longer the answer and the shorter the prompt, the better.

Letters: S prompt tokens, T answer tokens, B prompts at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hybrid.errors import InputError
from hybrid.models.arithmetic import writer_of
from hybrid.models.shapes import Shape
from hybrid.schema import MODELS, Model, Phase
from hybrid.sizing.cost_features import (
    cross_features,
    decoder_coordinates,
    encode_features,
    encoder_coordinates,
    projector_features,
    step_features,
)
from hybrid.sizing.profile import Profile, between

LONGEST = 8192  # tokens that are looked at, of prompts and of answers


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
    """Predict the seconds of an encoder over the prompts."""
    terms = encode_features(reader, request.batch, request.prompt)
    return between(profile.encode, (request.batch, request.prompt), terms, encoder_coordinates(reader))


def step_s(writer: Shape, batch: int, past: float, profile: Profile) -> float:
    """One step of a decoder, whose answers attend to `past` tokens each, in seconds."""
    return between(profile.step, (batch, 0), step_features(writer, past), decoder_coordinates(writer))


def _prefill_s(writer: Shape, request: Request, profile: Profile) -> float:
    """Keys and values of the prompts, and the first step."""
    size = request.batch, request.prompt
    beyond = between(profile.prefill, size, cross_features(writer, *size))
    return beyond + step_s(writer, request.batch, request.prompt + 1, profile)


def _projecting_s(pair: Pair, request: Request, profile: Profile) -> float:
    """Predict the projector alone: what its products cost an encoder."""
    size = request.batch, request.prompt
    return between(profile.encode, size, projector_features(pair.llm, pair.slm, *size))


def _per_token(seconds: Sequence[float], batch: int, tokens: int) -> float:
    """seconds: of a request, of each of its prompts, of each token of these."""
    request, prompt, token = seconds
    return request + prompt * batch + token * batch * tokens


@dataclass(frozen=True)
class BreakEven:
    """Where the hybrid begins and ceases to be the faster one, at the sizes of `request` otherwise.

    output: the shortest answer with which it is. prompt: the longest prompt.
    None: at no length up to LONGEST; LONGEST: at all of them, for `prompt`.
    """

    request: Request
    output: int | None
    prompt: int | None

    @property
    def sentences(self) -> tuple[str, str]:
        """Both in words."""
        given = self.request
        at = f"with prompts of {given.prompt} tokens"
        if self.output is None:
            output = f"{at.capitalize()}, the hybrid is slower than the LLM at any length of answer."
        elif self.output == 1:
            output = f"{at.capitalize()}, the hybrid is faster than the LLM from the first token on."
        else:
            output = (
                f"{at.capitalize()}, the hybrid is faster than the LLM when answers have "
                f"{self.output} tokens or more."
            )
        at = f"With answers of {given.output} token{'s' * (given.output > 1)}"
        if self.prompt is None:
            return output, f"{at}, it is slower at any length of prompt."
        if self.prompt == LONGEST:
            return output, f"{at}, it is faster at any length of prompt up to {LONGEST} tokens."
        return output, f"{at}, it is faster when prompts have {self.prompt} tokens or fewer."


def break_even(pair: Pair, request: Request, profile: Profile) -> BreakEven:
    """Both lengths, each with all else as in `request`."""

    def gains(asked: Request) -> bool:
        return (
            predicted("hybrid", pair, asked, profile).total_s < predicted("llm", pair, asked, profile).total_s
        )

    output = _first(lambda tokens: gains(replace(request, output=tokens)))
    loses = _first(lambda tokens: not gains(replace(request, prompt=tokens)))
    prompt = LONGEST if loses is None else loses - 1 or None
    return BreakEven(request, output, prompt)


def _first(holds: Callable[[int], bool]) -> int | None:
    """Find the least number of tokens from which on `holds`, which turns true once; None when never."""
    if not holds(LONGEST):
        return None
    low, high = 0, LONGEST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
