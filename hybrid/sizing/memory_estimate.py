"""What a pair needs beside time: memory for weights and caches, and money."""

from dataclasses import dataclass

from hybrid.engines.registry import spec_of
from hybrid.models.arithmetic import (
    BYTES,
    bytes_per_weight,
    cache_bytes,
    parameters,
    writer_of,
)
from hybrid.schema import Model
from hybrid.sizing.profile import Profile
from hybrid.sizing.request import Pair, Request

SECONDS_AN_HOUR = 3600
# 8-bit engines whose embeddings and encoder are not, and the option with which they are nevertheless.
_READS_IN_FLOAT32 = {"onnx": "int8_encoder", "transformers-int8": ""}


@dataclass(frozen=True)
class Needs:
    """Bytes of one method: of its weights, and of keys and values. What else an engine takes is not in it."""

    weights: int
    caches: int

    @property
    def total(self) -> int:
        return self.weights + self.caches


def needs(method: Model, pair: Pair, request: Request, profile: Profile) -> Needs:
    """Memory of a method, in bytes."""
    writer = writer_of(method, pair.llm, pair.slm)
    reading, writing = _bytes_each(profile)
    written = writer.decoder_parameters
    read = parameters(method, pair.llm, pair.slm) - written
    caches = cache_bytes(writer, request.prompt, request.output, request.batch, profile.dtype)
    return Needs(read * reading + written * writing, caches)


def cost_per_million_tokens(total_s: float, request: Request, price_per_hour: float) -> float:
    """Return the cost of output tokens on a machine that does nothing else, in the price's own currency.

    total_s: seconds that the request takes end to end.
    """
    an_hour = request.batch * request.output * SECONDS_AN_HOUR / total_s
    return price_per_hour * 1e6 / an_hour


def _bytes_each(profile: Profile) -> tuple[int, int]:
    """Bytes of a weight that reads, and of one that writes."""
    each = bytes_per_weight(profile.dtype)
    option = _READS_IN_FLOAT32.get(profile.engine)
    if option is None:
        return each, each
    known = spec_of(profile.engine).options
    chosen = profile.options.get(option) or (known[option].choices[0] if option in known else "off")
    return (each if chosen == "on" else BYTES["float32"]), each
