"""Layers, and a greedy decode step of them, in Triton: five to eight launches a layer, for one answer fewest.

The same as eager_decoder's, over the same buffers; rows and all sums are float32,
so it rounds less.

Letters: B answers, n tokens of each in a pass, D model width, F feed-forward width, H heads, K head
width, V vocabulary.
"""

from collections.abc import Mapping, Sequence

import torch
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]

from hybrid.engines.cuda import kernels, kernels_attention
from hybrid.engines.cuda.buffers import DecodeBuffers, PassCaches
from hybrid.engines.cuda.eager import HIDDEN_UNIT
from hybrid.engines.cuda.products import FusedProducts
from hybrid.engines.cuda.weights import (
    NormKind,
    PackedDecoder,
    PackedFeedForward,
    PackedLinear,
    PackedStack,
)
from hybrid.models.architectures.records import Activation

KINDS: Mapping[Activation, int] = {
    "relu": kernels.RELU.value,
    "gelu": kernels.GELU.value,
    "gelu-tanh": kernels.GELU_TANH.value,
    "silu": kernels.SILU.value,
}
NORMS: Mapping[NormKind, int] = {"rms": kernels.RMS.value, "layer": kernels.LAYER.value}
NO_NORM: int = kernels.NO_NORM.value
PROGRAMS = 256  # launched at least where there is work for so many: about two for each of a GPU's processors
TILE = 8192  # weights that a program of 128 threads holds at once
MOST_ROWS = 32  # of steps, which one program multiplies; of longer passes each has twice as many
KEYS = 8192  # values of keys that one of 256 threads does: 128 keys of the usual width


class TritonLayers:
    """The layers of a stack for n tokens of each of B answers, (B * n, D) float32 rows to such rows.

    products: of every layer, used for one row. early: launch each kernel before the one ahead of it
    has ended; needs compute capability 9.0.
    """

    def __init__(
        self,
        stack: PackedStack,
        caches: PassCaches | DecodeBuffers,
        rows: int,
        early: bool,
        products: Sequence[FusedProducts] = (),
    ) -> None:
        self._stack, self._caches, self._count = stack, caches, rows
        self._tokens = rows // len(caches.positions)
        self._products = products or (FusedProducts(),) * len(stack.layers)
        self._width, self._inner = stack.embeddings.shape[1], stack.heads * stack.head_width
        self._norm = NORMS[stack.norm]
        dtype = stack.embeddings.dtype
        # One row is multiplied in float32. Several go through tensor cores, in the type of the weights.
        self._part = torch.float32 if rows == 1 or dtype == torch.float16 else dtype
        self._unit = HIDDEN_UNIT if dtype == torch.float16 else 1.0
        self._launch = _launched(early)

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        layers = self._stack.layers
        qkv, raw = self.linear(rows, layers[0].qkv, norm=True), False
        for index, (layer, products) in enumerate(zip(layers, self._products, strict=True)):
            following = None if index + 1 == len(layers) else layers[index + 1].qkv
            mixed, out = self._self_attention(index, qkv, rows, raw), layer.out
            if layer.cross_query is not None and layer.cross_out is not None:
                rows, mixed = self._crossed(index, layer.cross_query, products, rows, mixed)
                out = layer.cross_out
            raw = self._count == 1 and products.into is not None
            feed_forward = self._fused_feed_forward if raw else self._feed_forward
            rows, qkv = feed_forward(layer.feed_forward, out, products, rows, mixed, following)
        return rows

    def _crossed(
        self,
        index: int,
        cross_query: PackedLinear,
        products: FusedProducts,
        rows: torch.Tensor,
        mixed: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Go from the self-attention's output to the rows and the cross-attention's output."""
        out = self._stack.layers[index].out
        if self._count == 1 and products.query is not None:
            rows, query = self._joint(rows, mixed, out.weight, cross_query.weight, products.query)
            return rows, self._cross_attention(index, query, rows, True)
        rows = self.linear(mixed, out, residual=rows)
        return rows, self._cross_attention(index, self.linear(rows, cross_query, norm=True), rows, False)

    def _feed_forward(
        self,
        inner: PackedFeedForward,
        out: PackedLinear,
        _: FusedProducts,
        rows: torch.Tensor,
        mixed: torch.Tensor,
        qkv: PackedLinear | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Go from the last attention's output to the next layer's rows and its queries, keys and values."""
        rows = self.linear(mixed, out, residual=rows)
        hidden = self.linear(rows, inner.into, norm=True, activates=inner)
        rows = self.linear(hidden, inner.out, residual=rows)
        return rows, rows if qkv is None else self.linear(rows, qkv, norm=True)

    def _fused_feed_forward(
        self,
        inner: PackedFeedForward,
        out: PackedLinear,
        products: FusedProducts,
        rows: torch.Tensor,
        mixed: torch.Tensor,
        qkv: PackedLinear | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Do the same in two launches; what comes second is not normed."""
        rows, hidden = self._joint(rows, mixed, out.weight, inner.into.weight, products.into)
        ahead = None if qkv is None else qkv.weight
        return self._joint(rows, hidden, inner.out.weight, ahead, products.qkv, inner)

    def linear(
        self,
        x: torch.Tensor,  # (B * n, inputs)
        linear: PackedLinear,  # to outputs, twice as many when gated
        residual: torch.Tensor | None = None,  # (B * n, outputs)
        norm: bool = False,
        activates: PackedFeedForward | None = None,
        out: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute act(x W' + b), of normed x where `norm`, or residual + x W' + b; into `out` if given."""
        weight, bias = linear
        gated, add = activates is not None and activates.gated, residual is not None
        outputs, inputs = weight.shape[0] // (2 if gated else 1), weight.shape[1]
        if out is None:
            out = x.new_empty(self._count, outputs, dtype=torch.float32 if add else self._part)
        missing = bias if bias is not None else weight
        shared = x, weight, missing, residual if add else out, out, self._stack.eps
        constants = {
            "INPUTS": inputs, "NORM": self._norm if norm else NO_NORM, "BIAS": bias is not None, "ADD": add,
            **_activation(activates), **self._launch,
        }  # fmt: skip
        wide = _power(inputs)
        if self._count == 1 and wide <= 2 * TILE:  # T5 v1.0 has feed-forwards up to four times as wide
            block = _tile(outputs, inputs * (2 if gated else 1))
            kernels.linear_row[(triton.cdiv(outputs, block),)](
                *shared, outputs, **constants, BLOCK_N=block, BLOCK_D=wide, num_warps=8 if wide > TILE else 4
            )
            return out
        few = self._count <= MOST_ROWS
        block = 16 if few and (outputs <= 16 * PROGRAMS or self._count <= 16) else 32
        block_rows = _power(min(self._count, 2 * MOST_ROWS))
        kernels.linear_rows[(triton.cdiv(outputs, block), triton.cdiv(self._count, block_rows))](
            *shared, self._unit, self._count, outputs, **constants,
            BLOCK_B=block_rows, BLOCK_N=block,
            BLOCK_D=256 // weight.element_size(), num_warps=4, num_stages=4 if few else 3,
        )  # fmt: skip
        return out

    def _joint(
        self,
        rows: torch.Tensor,  # (1, D)
        part: torch.Tensor,  # (1, P) or, before the activation, (1, P) or (1, 2P)
        near: torch.Tensor,  # (D, P)
        ahead: torch.Tensor | None,  # (N, D)
        across: torch.Tensor | None,  # (N, P)
        activates: PackedFeedForward | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the part to the rows; give them, and their product with the matrix ahead, not normed."""
        width, inputs = near.shape
        outputs = 0 if ahead is None else len(ahead)
        out, raw = torch.empty_like(rows), rows.new_empty(1, max(outputs, 1))
        block = _tile(width + outputs, _power(width) + _power(inputs))
        kernels.joint_row[(triton.cdiv(width, block) + triton.cdiv(outputs, block),)](
            rows, part, near, near if ahead is None else ahead, near if across is None else across, out, raw,
            self._stack.eps, width, outputs, D=width, P=inputs, **_activation(activates),
            BLOCK_N=block, BLOCK_D=_power(width), BLOCK_P=_power(inputs), **self._launch, num_warps=4,
        )  # fmt: skip
        return out, raw

    def _self_attention(self, index: int, qkv: torch.Tensor, rows: torch.Tensor, raw: bool) -> torch.Tensor:
        stack, caches = self._stack, self._caches
        keys, values = caches.self_kv_cache[index]
        out = qkv.new_empty(self._count, self._inner, dtype=self._part)
        bias, turns = stack.bias, stack.turns
        tables = [table for table in (bias, turns) if table is not None]
        places = caches.positions, caches.offsets
        sizes = stack.heads, stack.key_value_heads, keys.shape[2], tables[0].shape[1] if tables else 0
        turned = qkv if turns is None else turns
        if self._tokens > 1:
            width = stack.head_width
            kernels_attention.fill[(stack.key_value_heads, self._count)](
                qkv, keys, values, turned, *places, *sizes, self._tokens, TURNED=turns is not None,
                WIDTH=width, BLOCK_K=_power(width), **self._launch, num_warps=1,
            )  # fmt: skip
        kernels_attention.self_attention[(stack.heads, self._count)](
            qkv, rows, keys, values, qkv if bias is None else bias, turned, *places, out, stack.eps, *sizes,
            self._tokens, RELATIVE=bias is not None, TURNED=turns is not None, FILLED=self._tokens > 1,
            **self._attention(raw),
        )  # fmt: skip
        return out

    def _cross_attention(
        self, index: int, query: torch.Tensor, rows: torch.Tensor, raw: bool
    ) -> torch.Tensor:
        stack, caches = self._stack, self._caches
        (keys, values), out = caches.cross_kv_cache[index], torch.empty_like(query, dtype=self._part)
        kernels_attention.cross_attention[(stack.heads, self._count)](
            query, rows, keys, values, caches.lengths, out, stack.eps, stack.heads, keys.shape[2],
            self._tokens, **self._attention(raw),
        )  # fmt: skip
        return out

    def _attention(self, raw: bool) -> dict[str, int | bool]:
        """Give what both attentions are compiled for."""
        width = self._stack.head_width
        sizes = {"D": self._width, "NORM": raw, "WIDTH": width, "BLOCK_D": _power(self._width)}
        block = _power(width)
        return {**sizes, "BLOCK_K": block, "BLOCK_T": max(16, KEYS // block), **self._launch, "num_warps": 8}


class TritonDecodeStep:
    """One greedy decode step: takes the ids at `positions` of the buffers, gives those that follow."""

    def __init__(
        self,
        weights: PackedDecoder,
        buffers: DecodeBuffers,
        products: Sequence[FusedProducts],
        early: bool,
    ) -> None:
        self._weights, self._buffers = weights, buffers
        self._batch, self._width = buffers.inputs.shape
        self._layers = TritonLayers(weights, buffers, self._batch, early, products)
        self._launch = _launched(early)

    def __call__(self) -> None:
        rows = self._layers(self._buffers.inputs)
        self._layers.linear(rows, self._weights.head, norm=True, out=self._buffers.logits)
        self._select()

    def _select(self) -> None:
        weights, buffers, places = self._weights, self._buffers, self._weights.places
        vocabulary, width = buffers.logits.shape[1], self._width
        kernels_attention.select[(self._batch,)](
            buffers.logits, weights.embeddings, weights.embeddings if places is None else places,
            buffers.inputs, buffers.positions, buffers.offsets, buffers.ids, vocabulary,
            0 if places is None else len(places), D=width, PLACED=places is not None,
            BLOCK_V=min(4096, _power(vocabulary)), BLOCK_D=_power(width), **self._launch, num_warps=8,
        )  # fmt: skip


def _launched(early: bool) -> dict[str, bool]:
    """Give the settings of a launch, before the kernel ahead has ended where `early`."""
    return {"PDL": True, "launch_pdl": True} if early else {"PDL": False}


def _activation(activates: PackedFeedForward | None) -> dict[str, int | bool]:
    if activates is None:
        return {"KIND": kernels.LINEAR.value, "GATED": False}
    return {"KIND": KINDS[activates.activation], "GATED": activates.gated}


def _power(size: int) -> int:
    """Give the smallest power of 2 that holds `size`, at least 16."""
    bits = (size - 1).bit_length()
    return max(16, 1 << bits)


def _tile(outputs: int, inputs: int) -> int:
    """Choose how many outputs a program makes: a power of 2 that leaves PROGRAMS of them, and a TILE."""
    most = max(1, min(16, TILE // _power(inputs), outputs // PROGRAMS))
    return int(1 << (most.bit_length() - 1))
