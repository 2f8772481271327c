"""A small builder of ONNX graphs.

Besides ONNX's own operators it uses ONNX Runtime's, domain com.microsoft,
described in docs/ContribOperators.md of github.com/microsoft/onnxruntime.

Letters: B answers, N tokens of each, D width of a hidden state, G groups of its channels that share a scale.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hybrid.engines.onnx.packing import (
    LARGEST,
    SMALLEST_BLOCK,
    Floats,
    block_size,
    blocks,
    held_by_rows,
    rows,
)
from hybrid.engines.onnx.runtime import Array, BuiltGraph, Matrix
from hybrid.models.architectures.records import Linear, Norm

if TYPE_CHECKING:
    import torch

# No newer than the operators need, since releases of onnxruntime refuse what is newer than themselves.
OPSET, IR_VERSION = 21, 10
CONTRIB = "com.microsoft"


class GraphBuilder:
    """Builds a graph whose values are known by name.

    matrix: how it holds matrices. fine: whether blocks are small, unless larger ones are as
    exact, and what 8 bits leave of an activation is multiplied, too. Decoder-only models need
    that: SmolLM2-135M, of int8 rows, chose 768 of 768 of float32's ids, and 92 to 96 % without
    it, for 10.4 ms a token in place of 7.2.
    """

    def __init__(self, matrix: Matrix, fine: bool = False) -> None:
        self._matrix: Matrix = matrix
        self._fine = fine
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
        weights = [floats(linear.weight) for linear in linears]
        if self._matrix == "blocks":
            return self._linears_in_blocks(x, linears, self._block(weights))
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

    def _block(self, weights: Sequence[Floats]) -> int:
        """Choose the block of matrices that multiply the same."""
        inputs = weights[0].shape[1]
        if self._fine and not all(map(held_by_rows, weights)):
            return SMALLEST_BLOCK
        return block_size(inputs)

    def _linears_in_blocks(self, x: str, linears: Sequence[Linear], block: int) -> list[str]:
        if not self._fine or linears[0].weight.shape[1] % block:
            return [self._linear_in_blocks(x, linear, block) for linear in linears]
        return self._linears_of_terms(x, linears, block)

    def _linears_of_terms(self, x: str, linears: Sequence[Linear], block: int) -> list[str]:
        """Multiply what 8 bits hold of x, (B, N, D), and beside it what they leave, by weights read once.

        The first term comes out of the operator's own rounding as it was.
        """
        width = linears[0].weight.shape[1]
        shape = self.constant((0, 1, -1, width // block, block), np.int64)
        grouped = self.op("Reshape", x, shape)  # (B, 1, N, G, block)
        largest = self.op("ReduceMax", self.op("Abs", grouped), self.constant([-1], np.int64), keepdims=1)
        largest = self.op("Max", largest, self.constant(1e-20, np.float32))  # a block of zeros stays one
        scale = self.op("Mul", largest, self.constant(1 / LARGEST, np.float32))
        held = self.op("Mul", self.op("Round", self.op("Div", grouped, scale)), scale)
        terms = self.op("Concat", held, self.op("Sub", grouped, held), axis=1)  # (B, 2, N, G, block)
        rows = self.op("Reshape", terms, self.constant((0, -1, width), np.int64))  # (B, 2N, D)
        products = []
        for linear in linears:
            product = self._linear_in_blocks(rows, Linear(weight=linear.weight), block)
            names = self._new("held"), self._new("left")
            total = self.op("Add", *self.ops("Split", product, names=names, axis=1, num_outputs=2))
            if linear.bias is not None:
                total = self.op("Add", total, self.weight(floats(linear.bias)))
            products.append(total)
        return products

    def _linear_in_blocks(self, x: str, linear: Linear, block: int) -> str:
        weight = floats(linear.weight)
        outputs, inputs = weight.shape
        arrays = [self.weight(array) for array in blocks(weight, block)]
        if linear.bias is not None:
            arrays += ["", "", self.weight(floats(linear.bias))]  # no zero points, no order of groups
        return self.op(
            "MatMulNBits", x, *arrays,
            domain=CONTRIB, N=outputs, K=inputs, bits=8, block_size=block,
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
