"""Engines with graphs of their own take a T5 by its records, and refuse by name what has none."""

from dataclasses import replace

import pytest
import torch

from hybrid.engines import graph_coverage
from hybrid.engines.graph_coverage import HAS, decoder_for, encoder_for
from hybrid.errors import EngineError
from hybrid.models.architectures import decoder_of, encoder_of
from hybrid.models.architectures.records import LearnedPositions, Linear, Rotary


def test_stacks_of_a_t5_are_given_as_they_are(tiny_bundle):
    model = tiny_bundle.slm
    query = model.decoder.block[0].layer[0].SelfAttention.q.weight
    assert decoder_for("onnx", model).layers[0].self_attention.query.weight.data_ptr() == query.data_ptr()
    assert len(encoder_for("onnx", model).layers) == len(encoder_of(model).layers)


def changed(stack, **parts):
    """The stack with another last layer."""
    return replace(stack, layers=(*stack.layers[:-1], replace(stack.layers[-1], **parts)))


def biased(linear: Linear) -> Linear:
    return replace(linear, bias=torch.zeros(len(linear.weight)))


def turned(stack, part: int) -> Rotary:
    """Rotary positions of 2 / part of each head's channels."""
    return Rotary(frequencies=torch.zeros(stack.layers[0].self_attention.head_width // part))


VARIANTS = {
    "LearnedPositions": lambda s: replace(s, positions=LearnedPositions(table=torch.zeros(4, 4))),
    "layer norms": lambda s: replace(s, final_norm=replace(s.final_norm, kind="layer")),
    "no final norm": lambda s: replace(s, final_norm=None),
    "no relative positions": lambda s: replace(s, positions=None),
    "rotary positions": lambda s: changed(
        s, self_attention=replace(s.layers[-1].self_attention, rotary=turned(s, 2))
    ),
    "partly turned heads": lambda s: changed(
        s, self_attention=replace(s.layers[-1].self_attention, rotary=turned(s, 4))
    ),
    "caps of logits": lambda s: replace(s, logit_softcap=30.0),
    "norms of heads": lambda s: changed(
        s, self_attention=replace(s.layers[-1].self_attention, query_norm=s.final_norm)
    ),
    "parallel parts": lambda s: changed(s, parallel=True),
    "no encoder": lambda s: replace(
        s, layers=tuple(replace(layer, cross_attention=None) for layer in s.layers)
    ),
    "grouped-query heads": lambda s: changed(
        s, self_attention=replace(s.layers[-1].self_attention, key_value_heads=1)
    ),
    "scaled attention": lambda s: changed(
        s, cross_attention=replace(s.layers[-1].cross_attention, scale=0.125)
    ),
    "biases": lambda s: changed(
        s, feed_forward=replace(s.layers[-1].feed_forward, up=biased(s.layers[-1].feed_forward.up))
    ),
    "gated silu": lambda s: changed(s, feed_forward=replace(s.layers[-1].feed_forward, activation="silu")),
}


@pytest.mark.parametrize("lacking", VARIANTS)
def test_what_has_no_graph_is_refused_by_name(tiny_bundle, monkeypatch, lacking):
    stack = VARIANTS[lacking](decoder_of(tiny_bundle.slm))
    monkeypatch.setattr(graph_coverage, "decoder_of", lambda _: stack)
    for engine, has in HAS.items():
        if any(lacking in name for name in has):
            assert decoder_for(engine, tiny_bundle.slm) is stack
            continue
        with pytest.raises(EngineError, match=lacking) as refusal:
            decoder_for(engine, tiny_bundle.slm)
        assert engine in str(refusal.value)
        assert "--engine torch" in str(refusal.value)


def test_a_model_without_an_encoder_is_refused(tiny_bundle, monkeypatch):
    monkeypatch.setattr(graph_coverage, "encoder_of", lambda _: None)
    with pytest.raises(EngineError, match="no encoder"):
        encoder_for("onnx", tiny_bundle.slm)
