"""A small builder of ONNX graphs.

Besides ONNX's own operators it uses ONNX Runtime's, domain com.microsoft,
described in docs/ContribOperators.md of github.com/microsoft/onnxruntime.

Letters: D width of a hidden state, N outputs and K inputs of a matrix.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from hybrid.engines.onnx.quantize import Floats, block_size, blocks, rows
from hybrid.engines.onnx.sessions import Array, Matrix, Part

# No newer than the operators need, since releases of onnxruntime refuse what is newer than themselves.
OPSET, IR_VERSION = 21, 10
CONTRIB = "com.microsoft"


class Graph:
    """A graph under construction, whose values are known by name.

    matrix: how it holds matrices. epsilon: of its norms.
    """

    def __init__(self, matrix: Matrix, epsilon: float) -> None:
        self._matrix: Matrix = matrix
        self._epsilon = epsilon
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, Array] = {}
        self._constants: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> str:
        self._inputs.append(_declared(name, dtype, shape))
        return name

    def output(self, name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> str:
        self._outputs.append(_declared(name, dtype, shape))
        return name

    def weight(self, array: Array) -> str:
        """An array that stays outside the model."""
        name = self._new("weight")
        self._weights[name] = np.ascontiguousarray(array)
        return name

    def constant(self, value: Any, dtype: type[np.generic]) -> str:
        """A small one that goes into the model."""
        name = self._new("constant")
        self._constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """An operator with one output. name: of the output; a new one when empty."""
        return self.ops(kind, *inputs, names=(name or self._new(kind),), domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *inputs: str, names: Sequence[str], domain: str = "", **attributes: Any
    ) -> Sequence[str]:
        """An operator with several outputs. names: theirs; empty for one that nobody reads."""
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names

    def linear(self, x: str, weight: Floats, uneven: bool = False) -> str:
        """x W^T, for a weight (N, K) as torch has it. uneven: see linears."""
        return self.linears(x, weight, uneven=uneven)[0]

    def linears(self, x: str, *weights: Floats, uneven: bool = False) -> list[str]:
        """linear for each of `weights`.

        uneven: some rows of x may be far larger than others, so that one scale will not do for all.
        """
        if self._matrix == "rows":
            return self._linears_in_rows(x, weights, uneven)
        if self._matrix == "float32":
            return [self.op("MatMul", x, self.weight(weight.T)) for weight in weights]
        return [self._linear_in_blocks(x, weight) for weight in weights]

    def norm(self, x: str, gain: Floats) -> str:
        """x over its root mean square (Zhang and Sennrich 2019), times `gain`, (D,)."""
        return self.op("SimplifiedLayerNormalization", x, self.weight(gain), axis=-1, epsilon=self._epsilon)

    def add_and_norm(self, x: str, residual: str, gain: Floats) -> tuple[str, str]:
        """norm(x + residual), and x + residual."""
        normed, total = self._new("normed"), self._new("residual")
        self.ops(
            "SkipSimplifiedLayerNormalization", x, residual, self.weight(gain),
            names=(normed, "", "", total), domain=CONTRIB, epsilon=self._epsilon,
        )  # fmt: skip
        return normed, total

    def part(self, tables: Mapping[str, Array]) -> Part:
        """What was built."""
        outside = [_outside(name, array) for name, array in self._weights.items()]
        graph = helper.make_graph(
            self._nodes, "t5", self._inputs, self._outputs, [*self._constants, *outside]
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return Part(model.SerializeToString(), self._weights, tables)

    def _linear_in_blocks(self, x: str, weight: Floats) -> str:
        outputs, inputs = weight.shape
        return self.op(
            "MatMulNBits", x, *(self.weight(array) for array in blocks(weight)),
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


def _declared(name: str, dtype: type[np.generic], shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _outside(name: str, array: Array) -> TensorProto:
    """A weight whose values the session is given."""
    weight = TensorProto(
        name=name, dims=array.shape, data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
        data_location=TensorProto.EXTERNAL,
    )  # fmt: skip
    weight.external_data.add(key="location", value="given to the session")
    return weight
