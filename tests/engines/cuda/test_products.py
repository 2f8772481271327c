"""Products made in advance give what the matrices give one after another, and are made where they pay."""

from dataclasses import replace

import pytest
import torch

from hybrid.engines.cuda.products import FusedProducts, fuse_products
from hybrid.engines.cuda.weights import PackedDecoder, PackedFeedForward, PackedLayer, PackedLinear

D, F, H, K = 12, 20, 2, 5


def decoder(layers: int = 2, gated: bool = True, dtype=torch.float32, loud: float = 1.0) -> PackedDecoder:
    """Random weights. loud: a factor of the cross-attention's output and of what reads its sum."""
    torch.manual_seed(0)
    inner = H * K

    def linear(outputs: int, inputs: int, scale: float = 1.0) -> PackedLinear:
        return PackedLinear(torch.randn(outputs, inputs).to(dtype) * scale)

    packed = tuple(
        PackedLayer(
            qkv=linear(3 * inner, D),
            out=linear(D, inner),
            cross_query=linear(inner, D),
            cross_out=linear(D, inner, loud),
            feed_forward=PackedFeedForward(
                linear(2 * F if gated else F, D, loud), linear(D, F), "gelu-tanh" if gated else "relu", gated
            ),
        )
        for _ in range(layers)
    )
    return PackedDecoder(
        embeddings=torch.randn(9, D), layers=packed, norm="rms", eps=1e-6, heads=H, key_value_heads=H,
        head_width=K, turns=None, places=None, head=linear(9, D), cross_kv=linear(4, D),
        bias=torch.randn(H, 8), start_id=0,
    )  # fmt: skip


@pytest.mark.parametrize("gated", [True, False])
def test_a_product_stands_for_its_two_matrices(gated):
    weights = decoder(gated=gated)
    x, p, h = torch.randn(1, D), torch.randn(1, H * K), torch.randn(1, F)
    (first, last), (lower, upper) = fuse_products(weights), weights.layers
    for product, part, near, ahead in (
        (first.query, p, lower.out, lower.cross_query),
        (first.into, p, lower.cross_out, lower.feed_forward.into),
        (first.qkv, h, lower.feed_forward.out, upper.qkv),
        (last.into, p, upper.cross_out, upper.feed_forward.into),
    ):
        both = (x + part @ near.weight.T) @ ahead.weight.T
        torch.testing.assert_close(x @ ahead.weight.T + part @ product.T, both)
    assert last.qkv is None


def test_only_small_products_are_worth_a_launch():
    weights = decoder()
    query = 4 * (H * K) ** 2
    both = 4 * (2 * F * H * K + 3 * H * K * F)
    for worth, expected in (
        (0, ""),
        (query, "query"),
        (both // 2 - 4, "query"),
        (both // 2, "query into qkv"),
    ):
        first = fuse_products(weights, worth)[0]
        assert (
            " ".join(name for name in ("query", "into", "qkv") if getattr(first, name) is not None)
            == expected
        )


def test_what_float16_does_not_hold_is_not_fused():
    for fused in fuse_products(decoder(dtype=torch.float16, loud=300.0)):
        assert fused.query is not None
        assert fused.into is fused.qkv is None


def test_products_of_16_bit_matrices_round_once():
    weights = decoder(1, dtype=torch.bfloat16)
    (fused,), (layer,) = fuse_products(weights), weights.layers
    exact = (layer.cross_query.weight.double() @ layer.out.weight.double()).bfloat16()
    assert fused.query.dtype == torch.bfloat16
    assert (fused.query == exact).float().mean() > 0.97


@pytest.mark.parametrize("change", [{"norm": "layer"}, {"cross": False}, {"bias": True}])
def test_nothing_is_fused_where_a_norm_is_no_factor_or_a_bias_stands_between(change):
    weights = decoder(1)
    (layer,) = weights.layers
    if "cross" in change:
        layer = replace(layer, cross_query=None, cross_out=None)
    if "bias" in change:
        layer = replace(layer, out=layer.out._replace(bias=torch.zeros(D)))
    weights = replace(weights, layers=(layer,), norm=change.get("norm", "rms"))
    assert fuse_products(weights) == (FusedProducts(),)
