"""How long a pair of any two sizes takes to answer, by phase, on a device that was profiled.

Each method is predicted as the phases that it consists of:

    llm     LLM encoder                             LLM prefill, LLM steps
    slm     SLM encoder                             SLM prefill, SLM steps
    hybrid  LLM encoder, then projector and SLM encoder, SLM prefill, SLM steps

A decoder-only model has no encoder: its prefill takes the prompt through all its layers. A hybrid's
LLM reads so, too, as far as its last layer that is read.

A hybrid pays on reading, where it does more than the LLM, and gains with each token that it
writes: the longer the answer and the shorter the prompt, the better.

Letters: S prompt tokens, T answer tokens, B prompts at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid.engines.registry import engines_for, spec_of
from hybrid.errors import InputError
from hybrid.format import listed
from hybrid.models.arithmetic import writer_of
from hybrid.models.shapes import Shape
from hybrid.schema import MODELS, Model, Phase
from hybrid.sizing.cost_features import (
    cross_bound_s,
    cross_features,
    encode_bound_s,
    encode_features,
    head_features,
    projector_bound_s,
    projector_features,
    step_bound_s,
    step_features,
)
from hybrid.sizing.costs import Costs, between
from hybrid.sizing.profile import Profile

# A step's time grows by the same with each token that it attends to: that line is trusted so many times
# farther than the longest prompt that was measured.
REACH = 2


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
    """All three methods on one request. Raises InputError for a model that cannot answer it, or not there."""
    for shape in (pair.llm, pair.slm):
        check_runs(shape, profile)
        longest = shape.tokens_beside(request.prompt, request.output)
        if shape.positions is not None and longest > shape.positions:
            raise InputError(
                f"{shape.name} has positions for {shape.positions} tokens and {longest} are asked for. "
                "Shorten the prompt or the answer, or take a T5, which has no such limit."
            )
    return {method: predicted(method, pair, request, profile) for method in MODELS}


def check_runs(shape: Shape, profile: Profile) -> None:
    """Raise InputError when the profile's engine runs no models of this family."""
    able, kind = engines_for(shape.family, profile.device.kind), profile.device.kind
    if profile.engine not in able:
        device = "" if kind == "cpu" else f"--device {kind} "
        raise InputError(
            f"{shape.name} is of the family {shape.family}, which the engine {profile.engine} does not run; "
            f"{listed(able)} can: `hybrid device {device}--engine {able[0]}` measures a profile for it."
        )


def beyond(profile: Profile, request: Request, pair: Pair | None = None) -> str:
    """Say what of a request lies outside of what the profile was measured at; empty when nothing does.

    pair: which is to answer it, where its families may lie outside, too.
    """
    if profile.decoder_only is None and spec_of(profile.engine).decoder_only_apart:
        for shape in (pair.llm, pair.slm) if pair else ():
            if shape.decoder_only:
                return (
                    f"Extrapolated: {shape.name} is decoder-only, which {profile.engine} computes in another "
                    "way, and the profile was measured without such models; no error is promised for it. "
                    "`hybrid device` measures them, too."
                )
    batches, prompts = ({getattr(costs, name) for costs in profile.encode} for name in ("batch", "tokens"))
    together, outside = REACH * max(prompts), []
    if not min(batches) <= request.batch <= max(batches):
        outside.append(f"batches of {min(batches)} to {max(batches)}")
    if not min(prompts) <= request.prompt <= max(prompts):
        outside.append(f"prompts of {min(prompts)} to {max(prompts):,} tokens")
    if request.prompt <= max(prompts) and request.prompt + request.output > together:
        outside.append(f"prompts and answers of less than {together:,} tokens together")
    if not outside:
        return ""
    return (
        f"Extrapolated: the profile was measured with {listed(outside)}; what lies beyond follows from "
        "operations and bytes, and no error is promised for it."
    )


def predicted(method: Model, pair: Pair, request: Request, profile: Profile) -> Predicted:
    """One method on one request."""
    writer = writer_of(method, pair.llm, pair.slm)
    phases: dict[Phase, float] = {"tokenize": _per_token(profile.tokenize, request.batch, request.prompt)}
    encoding = 0.0 if writer.decoder_only else encode_s(writer, request, profile)
    if method == "hybrid":
        phases["encode"] = encode_s(pair.llm.read_part, request, profile)
        phases["project"] = _projecting_s(pair, request, profile) + encoding
    elif encoding:
        phases["encode"] = encoding
    phases["prefill"] = _prefill_s(writer, request, profile)
    ttft_s = sum(phases.values())
    steps = request.output - 1
    # What a step costs grows by the same with each token, so that the step in the middle is their mean.
    step = step_s(writer, request.batch, request.prompt + 1 + (steps + 1) / 2, profile)
    phases["decode"] = steps * step
    phases["detokenize"] = _per_token(profile.detokenize, request.batch, request.output)
    return Predicted(method, phases, ttft_s, step if steps else None)


def encode_s(reader: Shape, request: Request, profile: Profile, writes: bool = False) -> float:
    """Predict the seconds of an encoder, or of a decoder-only model that reads, over the prompts.

    writes: whether it is the same model that will write.
    """
    size, costs = (request.batch, request.prompt), profile.encode
    if reader.decoder_only and profile.decoder_only:
        costs = profile.decoder_only.prompt if writes else profile.decoder_only.read
    seconds = between(costs, size, encode_features(reader, *size), profile.products)
    return max(seconds, encode_bound_s(reader, *size, profile))


def step_s(writer: Shape, batch: int, past: float, profile: Profile) -> float:
    """One step of a decoder, whose answers attend to `past` tokens each, in seconds."""
    seconds = between(_step_costs(writer, profile), (batch, 0), step_features(writer, past), profile.products)
    return max(seconds, step_bound_s(writer, batch, past, profile))


def _step_costs(writer: Shape, profile: Profile) -> Sequence[Costs]:
    apart = profile.decoder_only if writer.decoder_only else None
    return apart.step if apart else profile.step


def _prefill_s(writer: Shape, request: Request, profile: Profile) -> float:
    """Keys and values of the prompts and the first step; in a decoder-only model one pass over them."""
    size = request.batch, request.prompt
    if writer.decoder_only:
        costs = _step_costs(writer, profile)
        head = between(costs, (request.batch, 0), head_features(writer), profile.products)
        return encode_s(writer, request, profile, writes=True) + head
    beyond = between(profile.prefill, size, cross_features(writer, *size), profile.products)
    beyond = max(beyond, cross_bound_s(writer, request.batch * request.prompt, profile))
    return beyond + step_s(writer, request.batch, request.prompt + 1, profile)


def _projecting_s(pair: Pair, request: Request, profile: Profile) -> float:
    """Predict the projector alone: what its products cost an encoder."""
    size = request.batch, request.prompt
    features = projector_features(pair.llm, pair.slm, *size)
    seconds = between(profile.encode, size, features, profile.products)
    return max(seconds, projector_bound_s(pair.llm, pair.slm, request.batch * request.prompt, profile))


def _per_token(seconds: Sequence[float], batch: int, tokens: int) -> float:
    """seconds: of a request, of each of its prompts, of each token of these."""
    request, prompt, token = seconds
    return request + prompt * batch + token * batch * tokens
