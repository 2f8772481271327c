"""Qwen2 (Yang et al. 2024, arXiv 2407.10671) and Qwen2.5: as Llama, with biases of queries, keys and values.

Layers may see no more than a window of tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from msgspec import Meta

from hybrid.models.architectures import Config, Weights, llama
from hybrid.models.architectures.config_json import Tokens, checked
from hybrid.models.architectures.records import DecoderStack, Sizes

LayerType = Literal["full_attention", "sliding_attention"]


class Settings(llama.Settings, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    use_sliding_window: bool
    sliding_window: Tokens | None
    max_window_layers: Annotated[int, Meta(ge=0, le=1000)]
    layer_types: list[LayerType] | None


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for what Llama's refuses, and for windows that are not described."""
    about = llama.sizes(config)
    windows(config, about.decoder_layers)
    return about


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    return checked(Settings, config, sizes)


def encoder(config: Config, weights: Weights) -> None:
    """There is none."""


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    stack = llama.decoder(config, weights)
    layers = [
        replace(layer, self_attention=replace(layer.self_attention, window=window))
        for layer, window in zip(stack.layers, windows(config, len(stack.layers)), strict=True)
    ]
    return replace(stack, layers=tuple(layers))


def windows(config: Config, layers: int) -> list[int | None]:
    """Say how many tokens each layer sees; None: all. Raises ValueError, see windows_of()."""
    window = config.get("sliding_window") if config.get("use_sliding_window") else None
    first = int(config.get("max_window_layers", 28)) if window else layers
    types = config.get("layer_types") or [
        "sliding_attention" if n >= first else "full_attention" for n in range(layers)
    ]
    return windows_of(types, window, layers)


def windows_of(types: Sequence[str], window: int | None, layers: int) -> list[int | None]:
    """Say the same of layers of these types. Raises ValueError for one unknown or without a window."""
    if len(types) != layers:
        raise ValueError(f"layer_types has {len(types)} entries, and num_hidden_layers is {layers}")
    for kind in types:
        if kind not in ("full_attention", "sliding_attention"):
            raise ValueError(f"layer_types has {kind!r}, not full_attention or sliding_attention")
    if "sliding_attention" in types and not window:
        raise ValueError(f"layer_types has 'sliding_attention', and sliding_window is {window}")
    return [window if kind == "sliding_attention" else None for kind in types]
