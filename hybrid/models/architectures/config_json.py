"""What a config.json may say, whoever wrote it: bounds of its values, and how it describes rotary positions.

The types are those of each family's Settings. Rotary positions: Su et al. 2021, arXiv 2104.09864.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from msgspec import Meta

from hybrid.models.architectures import Config
from hybrid.models.architectures.records import Rotary, Sizes
from hybrid.store.typed_json import convert

if TYPE_CHECKING:
    import torch

Vocabulary = Annotated[int, Meta(ge=1, le=2**24)]
Width = Annotated[int, Meta(ge=1, le=2**20)]
Layers = Annotated[int, Meta(ge=1, le=1000)]
Tokens = Annotated[int, Meta(ge=1, le=2**24)]  # of a context, or of a window
Id = Annotated[int, Meta(ge=0, le=2**24)]
Ids = Id | Annotated[list[Id], Meta(min_length=1, max_length=100)] | None
Rate = Annotated[float, Meta(ge=0, lt=1)]  # of dropout
Epsilon = Annotated[float, Meta(gt=0, le=1)]
Scale = Annotated[float, Meta(ge=0, le=1000)]  # of first weights
Deviation = Annotated[float, Meta(ge=0, le=1)]  # the same, as a standard deviation
Theta = Annotated[float, Meta(ge=1, le=1e12)]
Factor = Annotated[float, Meta(ge=0.01, le=1e6)]

# What stretches positions, and the settings that it needs.
ROPE_TYPES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}


class RopeSettings(TypedDict, total=False):
    """Keys of rope_parameters, as transformers 5 writes them, or of rope_scaling, as on the Hub."""

    rope_type: Literal["default", "linear", "llama3"]
    type: Literal["default", "linear", "llama3"]
    rope_theta: Theta
    factor: Factor
    low_freq_factor: Factor
    high_freq_factor: Factor
    original_max_position_embeddings: Tokens
    partial_rotary_factor: Annotated[float, Meta(gt=0, le=1)]


def checked(kind: type, config: Config, sizes: Callable[[Config], Sizes]) -> dict[str, Any]:
    """Take the keys of `kind`, a TypedDict, from a config.json, with values that go together.

    sizes: of the family. Raises ValueError, with key, value and bound.
    """
    settings: dict[str, Any] = dict(convert(kind, dict(config)))
    about = sizes(settings)
    for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        value = settings.get(key)
        ids = value if isinstance(value, list) else [0 if value is None else value]
        if max(ids) >= about.vocabulary:
            raise ValueError(f"{key} is {value}, and vocab_size is {about.vocabulary}")
    if about.heads % about.key_value_heads:
        raise ValueError(f"{about.key_value_heads} key-value heads do not serve {about.heads} heads evenly")
    return settings


def rope_settings(config: Config, head_width: int, theta: float = 10000.0) -> dict[str, Any]:
    """Return the rotary positions' settings, of either spelling; theta: where none is given.

    Raises ValueError for another kind of them, and for a setting that is missing or of no sense.
    """
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    rope.setdefault("rope_theta", config.get("rope_theta") or theta)
    kind = str(rope.setdefault("rope_type", rope.get("type", "default")))
    if kind not in ROPE_TYPES:
        raise ValueError(f"rope_type is {kind!r}, not {' or '.join(ROPE_TYPES)}")
    for key in ROPE_TYPES[kind]:
        if rope.get(key) is None:
            raise ValueError(f"rope_type is {kind!r}, and {key} is missing")
    if kind == "llama3" and rope["high_freq_factor"] <= rope["low_freq_factor"]:
        raise ValueError(f"high_freq_factor is {rope['high_freq_factor']}, no more than low_freq_factor")
    width = _turned(rope, head_width)
    if width % 2 or not width:
        raise ValueError(f"rotary positions turn {width} channels of each head of {head_width}, no pairs")
    return rope


def rotary(rope: Config, head_width: int) -> Rotary:
    """Make the record of what rope_settings() gives."""
    return Rotary(frequencies=_frequencies(rope, _turned(rope, head_width)))


def _turned(rope: Config, head_width: int) -> int:
    return int(head_width * rope.get("partial_rotary_factor", 1.0))


def _frequencies(rope: Config, width: int) -> "torch.Tensor":
    """(width / 2,) radians a token, stretched for contexts longer than those of the first training."""
    import torch

    channels = torch.arange(0, width, 2, dtype=torch.float32)
    frequencies: torch.Tensor = 1.0 / rope["rope_theta"] ** (channels / width)
    if rope["rope_type"] == "linear":
        frequencies = frequencies / rope["factor"]
    if rope["rope_type"] == "llama3":  # long waves are stretched, short ones kept, a ramp between
        turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        ramp = ((turns - low) / (high - low)).clamp(0, 1)
        frequencies = (1 - ramp) * frequencies / rope["factor"] + ramp * frequencies
    return frequencies
