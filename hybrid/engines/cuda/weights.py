"""A T5 packed for static graphs: what reads the same input is one matrix, norm gains are folded in.

Matrices stay as nn.Linear holds them, (d_out, d_in): the layout that cuBLAS
reads fastest, and in which a row is what one output needs. Both feed-forwards
of the family: gated GELU (T5 v1.1, Flan, mT5) and ReLU (T5 v1.0).

Letters: D model width, F feed-forward width, H heads, K head width, L layers, V vocabulary.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hybrid.engines.torch.layers import Target
from hybrid.models.architectures.records import RelativeBias


@dataclass(frozen=True)
class FeedForward:
    """into: (2F, D), gate above up, when gated; else (F, D). out: (D, F)."""

    into: torch.Tensor
    out: torch.Tensor
    gated: bool


@dataclass(frozen=True)
class EncoderLayer:
    """qkv: (3HK, D). out: (D, HK)."""

    qkv: torch.Tensor
    out: torch.Tensor
    feed_forward: FeedForward


@dataclass(frozen=True)
class DecoderLayer:
    """qkv: (3HK, D). out, cross_out: (D, HK). cross_query: (HK, D)."""

    qkv: torch.Tensor
    out: torch.Tensor
    cross_query: torch.Tensor
    cross_out: torch.Tensor
    feed_forward: FeedForward


@dataclass(frozen=True)
class Encoder:
    """embeddings: (V, D). gain: (D,) of the last norm. bias: (H, 2 * reach - 1), by distance."""

    embeddings: torch.Tensor
    layers: tuple[EncoderLayer, ...]
    gain: torch.Tensor
    bias: torch.Tensor
    reach: int
    heads: int
    eps: float


@dataclass(frozen=True)
class Decoder:
    """embeddings, head: (V, D). cross: (2LHK, D), keys and values of layer after layer.

    bias: (H, reach) float32; column d is that of a key d tokens before the query.
    start: the id that stands at position 0.
    """

    embeddings: torch.Tensor
    layers: tuple[DecoderLayer, ...]
    cross: torch.Tensor
    head: torch.Tensor
    bias: torch.Tensor
    heads: int
    head_width: int
    eps: float
    start: int


def pack_encoder(model: Any, target: Target, reach: int) -> Encoder:
    """The encoder of a transformers T5, for prompts of up to `reach` tokens."""
    stack = model.encoder
    return Encoder(
        embeddings=target.put(model.get_input_embeddings().weight),
        layers=tuple(_encoder_layer(block, target) for block in stack.block),
        gain=target.put(stack.final_layer_norm.weight),
        bias=_bias_by_distance(stack, target, reach),
        reach=reach,
        heads=model.config.num_heads,
        eps=stack.final_layer_norm.variance_epsilon,
    )


def pack_decoder(model: Any, target: Target, reach: int) -> Decoder:
    """The decoder of a transformers T5, for answers of up to `reach` tokens."""
    config, stack = model.config, model.decoder
    # T5 v1.0 and whatever ties its head as it does; mT5 has no such setting and does not scale.
    scale = config.d_model**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0
    crossings = [block.layer[1].EncDecAttention for block in stack.block]
    far_to_near = _bias_by_distance(stack, Target(target.device, torch.float32), reach)
    return Decoder(
        embeddings=target.put(stack.embed_tokens.weight),
        layers=tuple(_decoder_layer(block, target) for block in stack.block),
        cross=stacked(target, *(linear for one in crossings for linear in (one.k, one.v))),
        head=stacked(target, model.get_output_embeddings(), gain=stack.final_layer_norm.weight * scale),
        bias=far_to_near.flip(1).contiguous(),
        heads=config.num_heads,
        head_width=config.d_kv,
        eps=stack.final_layer_norm.variance_epsilon,
        start=int(config.decoder_start_token_id),
    )


def _bias_by_distance(stack: Any, target: Target, reach: int) -> torch.Tensor:
    attention = stack.block[0].layer[0].SelfAttention
    bias = RelativeBias(
        table=attention.relative_attention_bias.weight.detach(),
        max_distance=attention.relative_attention_max_distance,
        bidirectional=not stack.is_decoder,
    )
    return target.put(bias.by_distance(reach))


def stacked(target: Target, *linears: nn.Linear, gain: torch.Tensor | None = None) -> torch.Tensor:
    """Bias-free linears that read the same input as one matrix, (sum of their outputs, D).

    gain: (D,) of the norm before them, folded in before rounding to the target's type.
    """
    weight = torch.cat([linear.weight.detach() for linear in linears])
    if gain is not None:
        weight = weight.float() * gain.detach().float()
    return target.put(weight).contiguous()


def _encoder_layer(block: Any, target: Target) -> EncoderLayer:
    own, gain = block.layer[0].SelfAttention, block.layer[0].layer_norm.weight
    qkv = stacked(target, own.q, own.k, own.v, gain=gain)
    return EncoderLayer(qkv, stacked(target, own.o), _feed_forward(block.layer[1], target))


def _decoder_layer(block: Any, target: Target) -> DecoderLayer:
    own, cross = block.layer[0].SelfAttention, block.layer[1].EncDecAttention
    gains = [part.layer_norm.weight for part in block.layer]
    return DecoderLayer(
        qkv=stacked(target, own.q, own.k, own.v, gain=gains[0]),
        out=stacked(target, own.o),
        cross_query=stacked(target, cross.q, gain=gains[1]),
        cross_out=stacked(target, cross.o),
        feed_forward=_feed_forward(block.layer[2], target),
    )


def _feed_forward(layer: Any, target: Target) -> FeedForward:
    dense, gain = layer.DenseReluDense, layer.layer_norm.weight
    gated = hasattr(dense, "wi_0")
    into = (dense.wi_0, dense.wi_1) if gated else (dense.wi,)
    return FeedForward(stacked(target, *into, gain=gain), stacked(target, dense.wo), gated)
