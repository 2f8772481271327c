"""Qwen3 (Yang et al. 2025, arXiv 2505.09388): as Llama, with an RMSNorm of each head's queries and keys.

Layers may see no more than a window of tokens, as Qwen2's may.
"""

from dataclasses import replace
from typing import Any

from hybrid.models.architectures import Config, Weights, base_weights, llama, qwen2
from hybrid.models.architectures.config_json import checked
from hybrid.models.architectures.records import DecoderStack, Layer, Sizes

HEAD_WIDTH = 128  # where a config.json names none


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError as Qwen2's does."""
    return qwen2.sizes(_with_head_width(config))


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    return checked(qwen2.Settings, config, sizes)


def encoder(config: Config, weights: Weights) -> None:
    """There is none."""


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    stack = qwen2.decoder(_with_head_width(config), weights)
    weights = base_weights(weights, "model")
    layers = [_with_head_norms(config, weights, n, layer) for n, layer in enumerate(stack.layers)]
    return replace(stack, layers=tuple(layers))


def _with_head_norms(config: Config, weights: Weights, number: int, layer: Layer) -> Layer:
    query, key = (
        llama.norm(config, weights, f"layers.{number}.self_attn.{part}_norm") for part in ("q", "k")
    )
    return replace(layer, self_attention=replace(layer.self_attention, query_norm=query, key_norm=key))


def _with_head_width(config: Config) -> Config:
    return {**config, "head_dim": config.get("head_dim") or HEAD_WIDTH}
