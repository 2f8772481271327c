"""A small builder of ONNX graphs, and 8-bit matrices as their operators take them.

Besides ONNX's own operators it uses ONNX Runtime's, domain com.microsoft,
described in docs/ContribOperators.md of github.com/microsoft/onnxruntime.

Bundled weights are stored as int8 rows, one scale a row (hybrid.models.bundle).
`blocks` holds such a matrix exactly, so that only activations are rounded.

Letters: D width of a hidden state, N outputs and K inputs of a matrix, G groups
of inputs that share a scale, of `block_size(K)` each.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hybrid.engines.onnx.runtime import Array, BuiltGraph, Matrix
from hybrid.models.architectures.records import Linear, Norm

if TYPE_CHECKING:
    import torch

Floats: TypeAlias = NDArray[np.float32]

# No newer than the operators need, since releases of onnxruntime refuse what is newer than themselves.
OPSET, IR_VERSION = 21, 10
CONTRIB = "com.microsoft"

SMALLEST_BLOCK, LARGEST_BLOCK = 32, 256
ZERO = 128  # what MatMulNBits takes for zero in 8 bits when it is given no zero points
LARGEST = 127
AT_ONCE = 1024  # outputs that are packed together, since that takes several times their memory
# Where the CPU lacks VNNI, MLAS adds two products of 8-bit numbers in 16 bits, which must hold
# 2 * 255 * 63 but would not hold 2 * 255 * 127: with 7-bit weights every CPU gives the same.
LARGEST_IN_ROWS = 63


class GraphBuilder:
    """Builds a graph whose values are known by name. matrix: how it holds matrices."""

    def __init__(self, matrix: Matrix) -> None:
        self._matrix: Matrix = matrix
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, Array] = {}
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> str:
        """Declare an input. shape: a name where a dimension is free."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(self, name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> str:
        """Declare an output, to be computed by an operator of this name."""
        self._outputs.append(_value_info(name, dtype, shape))
        return name

    def weight(self, array: Array) -> str:
        """Add an array that stays outside the model."""
        name = self._new("weight")
        self._weights[name] = np.ascontiguousarray(array)
        return name

    def constant(self, value: Any, dtype: type[np.generic]) -> str:
        """Add a small array that goes into the model."""
        name = self._new("constant")
        self._constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """Add an operator with one output. name: of the output; a new one when empty."""
        return self.ops(kind, *inputs, names=(name or self._new(kind),), domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, names: Sequence[str], domain: str = "", **attributes: Any
    ) -> Sequence[str]:
        """Add an operator with several outputs. names: theirs; empty for one that nobody reads."""
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names

    def linear(self, x: str, linear: Linear, uneven: bool = False) -> str:
        """Give x W^T + b. uneven: see linears."""
        return self.linears(x, linear, uneven=uneven)[0]

    def linears(self, x: str, *linears: Linear, uneven: bool = False) -> list[str]:
        """Give x W^T + b of each, with or without b.

        uneven: some rows of x may be far larger than others, so that one scale will not do for all.
        """
        if self._matrix == "blocks":
            return [self._linear_in_blocks(x, linear) for linear in linears]
        weights = [floats(linear.weight) for linear in linears]
        if self._matrix == "rows":
            products = self._linears_in_rows(x, weights, uneven)
        else:
            products = [self.op("MatMul", x, self.weight(weight.T)) for weight in weights]
        return [
            product if linear.bias is None else self.op("Add", product, self.weight(floats(linear.bias)))
            for product, linear in zip(products, linears, strict=True)
        ]

    def norm(self, x: str, norm: Norm) -> str:
        """Norm x: over its root mean square (Zhang and Sennrich 2019), or LayerNorm (Ba et al. 2016)."""
        kind = "SimplifiedLayerNormalization" if norm.kind == "rms" else "LayerNormalization"
        return self.op(kind, x, *self._gains(norm), axis=-1, epsilon=norm.eps)

    def add_and_norm(self, x: str, residual: str, norm: Norm | None) -> tuple[str, str]:
        """Give the norm of x + residual, and x + residual; where there is no norm, that twice."""
        if norm is None:
            total = self.op("Add", x, residual)
            return total, total
        normed, total = self._new("normed"), self._new("residual")
        kind = "SkipSimplifiedLayerNormalization" if norm.kind == "rms" else "SkipLayerNormalization"
        self.ops(
            kind, x, residual, *self._gains(norm),
            names=(normed, "", "", total), domain=CONTRIB, epsilon=norm.eps,
        )  # fmt: skip
        return normed, total

    def build(self, tables: Mapping[str, Array]) -> BuiltGraph:
        """Finish the graph. tables: see BuiltGraph."""
        external = [_external(name, array) for name, array in self._weights.items()]
        graph = helper.make_graph(
            self._nodes, "hybrid", self._inputs, self._outputs, [*self._constants, *external]
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return BuiltGraph(model.SerializeToString(), self._weights, tables)

    def _gains(self, norm: Norm) -> list[str]:
        """Add the gain of a norm, and its bias where it has one."""
        vectors = [norm.gain] if norm.bias is None else [norm.gain, norm.bias]
        return [self.weight(floats(vector)) for vector in vectors]

    def _linear_in_blocks(self, x: str, linear: Linear) -> str:
        weight = floats(linear.weight)
        outputs, inputs = weight.shape
        arrays = [self.weight(array) for array in blocks(weight)]
        if linear.bias is not None:
            arrays += ["", "", self.weight(floats(linear.bias))]  # no zero points, no order of groups
        return self.op(
            "MatMulNBits", x, *arrays,
            domain=CONTRIB, N=outputs, K=inputs, bits=8, block_size=block_size(inputs),
            accuracy_level=4,  # multiply in 8 bits; without it the operator is 20 to 60 times as slow
        )  # fmt: skip

    def _linears_in_rows(self, x: str, weights: Sequence[Floats], uneven: bool) -> list[str]:
        if not uneven:
            return self._integer_products(x, weights)
        largest = self.op("ReduceMax", self.op("Abs", x), self.constant([-1], np.int64), keepdims=1)
        floor = self.constant(1e-20, np.float32)  # a row of zeros stays one
        even = self.op("Div", x, self.op("Max", largest, floor))
        return [self.op("Mul", product, largest) for product in self._integer_products(even, weights)]

    def _integer_products(self, x: str, weights: Sequence[Floats]) -> list[str]:
        names = [self._new(kind) for kind in ("rounded", "scale", "zero")]
        rounded, scale, zero = self.ops("DynamicQuantizeLinear", x, names=names)
        products = []
        for weight in weights:
            packed, scales = (self.weight(array) for array in rows(weight))
            products.append(
                self.op("MatMulIntegerToFloat", rounded, packed, scale, scales, zero, domain=CONTRIB)
            )
        return products

    def _new(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"


def floats(tensor: "torch.Tensor") -> Floats:
    """Give the values of a weight; the same memory where it is in float32 on the CPU."""
    array: Floats = tensor.detach().float().cpu().numpy()
    return array


def _value_info(name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _external(name: str, array: Array) -> TensorProto:
    """Declare a weight whose values the session is given."""
    weight = TensorProto(
        name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=TensorProto.EXTERNAL,
    )  # fmt: skip
    weight.external_data.add(key="location", value="given to the session")
    return weight


def block_size(inputs: int) -> int:
    """Choose how many of K inputs share a scale: the fewer the more exact, the more the faster.

    The largest power of two that divides K, since a block that is not full is work for nothing.
    """
    return min(max(inputs & -inputs, SMALLEST_BLOCK), LARGEST_BLOCK)


def blocks(weight: Floats) -> tuple[NDArray[np.uint8], Floats]:
    """Pack (N, K) weights for MatMulNBits: (N, G, block) and scales (N, G), weight = (packed - ZERO) * scale.

    The last block is filled up with zeros. Each block's scale is its own
    largest magnitude over LARGEST, or that of the whole row where the row then
    fits better: it does where it was int8 before.
    """
    outputs, inputs = weight.shape
    block = block_size(inputs)
    groups = -(-inputs // block)
    packed = np.empty((outputs, groups, block), np.uint8)
    scales = np.empty((outputs, groups), np.float32)
    for first in range(0, outputs, AT_ONCE):
        some = slice(first, first + AT_ONCE)
        filled = np.pad(weight[some], ((0, 0), (0, groups * block - inputs)))
        packed[some], scales[some] = _pack(filled.reshape(-1, groups, block))
    return packed, scales


def _pack(grouped: Floats) -> tuple[Floats, Floats]:
    """Pack (any, G, block) weights as `blocks` gives them, still in floats, and their scales."""
    by_block = _scale(np.abs(grouped).max(axis=2), LARGEST)  # (N, G)
    by_row = np.broadcast_to(by_block.max(axis=1, keepdims=True), by_block.shape)
    packed, packed_by_row = (_round(grouped, scales[..., None], LARGEST) for scales in (by_block, by_row))
    fits = _error(grouped, packed_by_row, by_row) <= _error(grouped, packed, by_block)  # (N,)
    packed[fits] = packed_by_row[fits]
    by_block[fits] = by_row[fits]
    return packed + ZERO, by_block


def rows(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Pack (N, K) weights for MatMulIntegerToFloat: (K, N), of 7 bits, and scales (N,), one an output."""
    scales = _scale(np.abs(weight).max(axis=1), LARGEST_IN_ROWS)
    packed = _round(weight, scales[:, None], LARGEST_IN_ROWS)
    return np.ascontiguousarray(packed.astype(np.int8).T), scales


def _scale(largest: Floats, steps: int) -> Floats:
    return (np.maximum(largest, 1e-12) / steps).astype(np.float32)


def _round(values: Floats, scales: Floats, largest: int) -> Floats:
    rounded: Floats = np.rint(values / scales)
    return np.clip(rounded, -largest, largest, out=rounded)


def _error(grouped: Floats, packed: Floats, scales: Floats) -> Floats:
    """Give (N,) squared distances of rows, (N, G, block), from what is packed of them."""
    distance = grouped - packed * scales[..., None]
    squared: Floats = np.square(distance).sum(axis=(1, 2))
    return squared
