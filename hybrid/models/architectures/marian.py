"""Marian (Junczys-Dowmunt et al. 2018), as which OPUS-MT (Tiedemann and Thottingal 2020) is published.

BART's layers, over positions of sines (Vaswani et al. 2017) and with no norm of
the embeddings. <pad> is never written: its embedding is 0, made up when a model
is converted, and so is its logit, where those of all other ids may be below.
"""

from dataclasses import replace
from typing import Any

from hybrid.models.architectures import Config, Weights, bart
from hybrid.models.architectures.config_json import Vocabulary, checked
from hybrid.models.architectures.records import DecoderStack, LearnedPositions, Linear, Sizes, Stack


class Settings(bart.Settings, total=False):
    """Keys of a config.json that a model is built from; every other one is passed over."""

    decoder_vocab_size: Vocabulary | None
    share_encoder_decoder_embeddings: bool


def sizes(config: Config) -> Sizes:
    """Read the sizes. Raises ValueError for two vocabularies, and as BART's do."""
    if not config.get("share_encoder_decoder_embeddings", True):
        raise ValueError(
            "share_encoder_decoder_embeddings is False, and both halves must have one vocabulary"
        )
    if (written := config.get("decoder_vocab_size")) not in (None, config["vocab_size"]):
        raise ValueError(f"decoder_vocab_size is {written}, and vocab_size is {config['vocab_size']}")
    return replace(bart.sizes(config), never=int(config["pad_token_id"]))


def settings(config: Config) -> dict[str, Any]:
    """Take what a model is built from, checked. Raises ValueError, with key, value and bound."""
    return checked(Settings, config, sizes) | bart.UNFORCED


def encoder(config: Config, weights: Weights) -> Stack:
    """Name the weights of the encoder."""
    own = bart.half_weights(weights, "encoder")
    return Stack(
        embeddings=own["embed_tokens.weight"],
        embedding_scale=bart.embedding_scale(config),
        layers=bart.layers(config, own, "encoder"),
        final_norm=None,
        positions=LearnedPositions(table=own["embed_positions.weight"]),
    )


def decoder(config: Config, weights: Weights) -> DecoderStack:
    """Name the weights of the decoder."""
    own, bias = bart.half_weights(weights, "decoder"), weights["final_logits_bias"][0].clone()
    bias[int(config["pad_token_id"])] = -float("inf")
    return DecoderStack(
        embeddings=own["embed_tokens.weight"],
        embedding_scale=bart.embedding_scale(config),
        layers=bart.layers(config, own, "decoder"),
        final_norm=None,
        positions=LearnedPositions(table=own["embed_positions.weight"]),
        causal=True,
        head=Linear(weight=weights["lm_head.weight"], bias=bias),
        head_scale=1.0,
        start=int(config["decoder_start_token_id"]),
    )
