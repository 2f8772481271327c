"""Products made in advance give what the matrices give one after another, and are made where they pay."""

import pytest
import torch

from hybrid.engines.cuda.weights import (
    PackedDecoder,
    PackedDecoderLayer,
    PackedFeedForward,
    fuse_products,
)

D, F, H, K = 12, 20, 2, 5


def decoder(layers: int = 2, gated: bool = True) -> PackedDecoder:
    torch.manual_seed(0)
    inner = H * K
    packed = tuple(
        PackedDecoderLayer(
            qkv=torch.randn(3 * inner, D),
            out=torch.randn(D, inner),
            cross_query=torch.randn(inner, D),
            cross_out=torch.randn(D, inner),
            feed_forward=PackedFeedForward(torch.randn(2 * F if gated else F, D), torch.randn(D, F), gated),
        )
        for _ in range(layers)
    )
    return PackedDecoder(
        torch.randn(9, D), packed, torch.randn(4, D), torch.randn(9, D), torch.randn(H, 8), H, K, 1e-6, 0
    )


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
        torch.testing.assert_close(x @ ahead.T + part @ product.T, (x + part @ near.T) @ ahead.T)
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
    weights = decoder(2)
    first, second = (
        PackedDecoderLayer(
            layer.qkv.half(), layer.out.half(), layer.cross_query.half(), layer.cross_out.half() * 300,
            PackedFeedForward(layer.feed_forward.into.half() * 300, layer.feed_forward.out.half(), True),
        )
        for layer in weights.layers
    )  # fmt: skip
    for fused in fuse_products(PackedDecoder(**{**vars(weights), "layers": (first, second)})):
        assert fused.query is not None
        assert fused.into is fused.qkv is None


def test_products_of_16_bit_matrices_round_once():
    weights = decoder(1)
    layer = weights.layers[0]
    brief = PackedDecoderLayer(
        layer.qkv.bfloat16(), layer.out.bfloat16(), layer.cross_query.bfloat16(), layer.cross_out.bfloat16(),
        PackedFeedForward(layer.feed_forward.into.bfloat16(), layer.feed_forward.out.bfloat16(), True),
    )  # fmt: skip
    (fused,) = fuse_products(PackedDecoder(**{**vars(weights), "layers": (brief,)}))
    exact = (brief.cross_query.double() @ brief.out.double()).bfloat16()
    assert fused.query.dtype == torch.bfloat16
    assert (fused.query == exact).float().mean() > 0.97
