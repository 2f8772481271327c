"""Readers and decoders for the engines with graphs of their own, onnx and cuda-graph, and their limits."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from hybrid.errors import EngineError
from hybrid.models.architectures import decoder_of, encoder_of, reader_of
from hybrid.models.architectures.records import (
    Attention,
    DecoderStack,
    FeedForward,
    Norm,
    RelativeBias,
    Stack,
)
from hybrid.models.fusion import ReadLayers

S = TypeVar("S", bound=Stack)

# Beyond a T5's layers, what each engine's graphs have, by the names that `_lacking` gives.
CAUSAL = frozenset(  # of Llama- and GPT-2-shaped models
    {
        "no encoder",
        "LearnedPositions positions",
        "no relative positions",
        "no final norm",
        "layer norms",
        "grouped-query heads",
        "scaled attention scores",
        "rotary positions",
        "biases",
        "a gelu feed-forward",
        "a gelu-tanh feed-forward",
        "a silu feed-forward",
        "a gated silu feed-forward",
    }
)
HAS: Mapping[str, frozenset[str]] = {
    "onnx": CAUSAL | {"partly turned heads", "a gated relu feed-forward", "a gated gelu feed-forward"},
    "cuda-graph": CAUSAL,
}


def encoder_for(engine: str, model: Any) -> Stack:
    """Name the weights of a model's encoder. Raises EngineError when `engine` has no graph for it."""
    stack = encoder_of(model)
    if stack is None:
        raise _refusal(engine, ["no encoder"])
    return _checked(engine, stack)


def reader_for(engine: str, model: Any, layer: ReadLayers) -> Stack:
    """Name the weights of what reads a hybrid's prompts, up to `layer`; see architectures.reader_of.

    Raises EngineError when `engine` has no graph for it.
    """
    return _checked(engine, reader_of(model, layer))


def decoder_for(engine: str, model: Any) -> DecoderStack:
    """Name the weights of a model's decoder. Raises EngineError when `engine` has no graph for it."""
    return _checked(engine, decoder_of(model))


def final_norm(stack: Stack) -> Norm:
    """Give the norm behind the layers, which decoders and whole encoders have."""
    assert stack.final_norm is not None, "see _lacking"
    return stack.final_norm


def norm_before(part: Attention | FeedForward) -> Norm:
    """Give the norm before a part, which those that graphs are made of have."""
    assert part.norm is not None, "see _lacking"
    return part.norm


def _checked(engine: str, stack: S) -> S:
    if lacking := [part for part in dict.fromkeys(_lacking(stack)) if part not in HAS[engine]]:
        raise _refusal(engine, lacking)
    return stack


def _refusal(engine: str, lacking: Sequence[str]) -> EngineError:
    return EngineError(
        f"The engine {engine} runs T5-, Llama- and GPT-2-shaped models; this one has {', '.join(lacking)}. "
        "Use --engine torch or --engine transformers."
    )


def _lacking(stack: Stack) -> list[str]:
    """Name what a stack has beyond a T5's layers, by part."""
    lacking = []
    if isinstance(stack, DecoderStack) and not stack.has_cross_attention:
        lacking.append("no encoder")
    if isinstance(stack, DecoderStack) and stack.logit_softcap is not None:
        lacking.append("caps of logits")
    if not isinstance(stack.positions, RelativeBias):
        kind = type(stack.positions).__name__ if stack.positions else "no relative"
        lacking.append(f"{kind} positions")
    if stack.embedding_scale * stack.input_scale != 1.0 or stack.embedding_norm is not None:
        lacking.append("scaled or normed embeddings")
    lacking += ["no final norm"] if stack.final_norm is None else _of_norm(stack.final_norm)
    for layer in stack.layers:
        attentions = [layer.self_attention, *([layer.cross_attention] if layer.cross_attention else [])]
        lacking += [part for attention in attentions for part in _of_attention(attention)]
        lacking += _of_feed_forward(layer.feed_forward) + ["parallel parts"] * layer.parallel
    return lacking


def _of_norm(norm: Norm) -> list[str]:
    return [] if norm.kind == "rms" and norm.bias is None else [f"{norm.kind} norms"]


def _of_norms(part: Attention | FeedForward) -> list[str]:
    behind = part.norm is None or part.post_norm is not None or part.sum_norm is not None
    return ["norms behind its parts"] if behind or part.norm is None else _of_norm(part.norm)


def _of_attention(attention: Attention) -> list[str]:
    lacking = _of_norms(attention)
    if attention.window is not None or attention.softcap is not None:
        lacking.append("windows or caps of attention")
    if attention.key_value_heads != attention.heads:
        lacking.append("grouped-query heads")
    if attention.scale != 1.0:
        lacking.append("scaled attention scores")
    if attention.rotary is not None:
        whole = 2 * len(attention.rotary.frequencies) == attention.head_width
        lacking.append("rotary positions" if whole else "partly turned heads")
    if attention.query_norm is not None or attention.key_norm is not None:
        lacking.append("norms of heads")
    linears = (attention.query, attention.key, attention.value, attention.output)
    return lacking + ["biases"] * any(linear.bias is not None for linear in linears)


def _of_feed_forward(feed_forward: FeedForward) -> list[str]:
    lacking = _of_norms(feed_forward)
    gated = feed_forward.gate is not None
    if (feed_forward.activation, gated) not in (("relu", False), ("gelu-tanh", True)):
        lacking.append(f"a {'gated ' if gated else ''}{feed_forward.activation} feed-forward")
    linears = [feed_forward.up, feed_forward.down, *([feed_forward.gate] if feed_forward.gate else [])]
    return lacking + ["biases"] * any(linear.bias is not None for linear in linears)
