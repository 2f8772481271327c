"""What the graphs of encoder and decoder share: a T5's weights, its feed-forward part, its position bias."""

from typing import Any

import numpy as np
import torch

from hybrid.engines.onnx.graph import CONTRIB, Graph
from hybrid.engines.onnx.quantize import Floats
from hybrid.engines.onnx.sessions import Array
from hybrid.errors import EngineError
from hybrid.models import architectures
from hybrid.models.architectures.records import RelativeBias

HEAD_STEP = 8  # of head widths, for GroupQueryAttention


def check_supported(config: Any) -> None:
    """Raise EngineError when no architecture covers the model, or GroupQueryAttention cannot hold it."""
    architectures.check_supported(config)
    if config.d_kv % HEAD_STEP:
        raise EngineError(
            f"The onnx engine needs attention heads whose width is a multiple of {HEAD_STEP}; this model's "
            f"are {config.d_kv} wide. Use --engine transformers."
        )


def floats(tensor: torch.Tensor) -> Floats:
    """The values of a weight; the same memory where it is in float32 on the CPU."""
    array: Floats = tensor.detach().to("cpu", torch.float32).numpy()
    return array


def gain(layer: Any) -> Floats:
    """(D,) of the norm before a layer."""
    return floats(layer.layer_norm.weight)


def feed_forward(graph: Graph, layer: Any, x: str) -> str:
    """relu(x Wu) Wd, or T5's gated GELU (Shazeer 2020), (gelu(x Wg) * (x Wu)) Wd, for normed x."""
    dense = layer.DenseReluDense
    if hasattr(dense, "wi_0"):
        gate, up = graph.linears(x, floats(dense.wi_0.weight), floats(dense.wi_1.weight))
        inner = graph.op("Mul", graph.op("FastGelu", gate, domain=CONTRIB), up)
    else:
        inner = graph.op("Relu", graph.linear(x, floats(dense.wi.weight)))
    return graph.linear(inner, floats(dense.wo.weight), uneven=True)


def bias_table(stack: Any) -> Array:
    """(H, 2R - 1) position bias of a stack; column R - 1 + d is of a key d tokens after the query.

    R is one more than the distance from which on all keys are alike. A decoder
    has no keys after the query; those columns mean nothing there.
    """
    reach = stack.config.relative_attention_max_distance + 1
    attention = stack.block[0].layer[0].SelfAttention
    bias = RelativeBias(
        table=attention.relative_attention_bias.weight.detach(),
        max_distance=attention.relative_attention_max_distance,
        bidirectional=not stack.is_decoder,
    )
    table = floats(bias.by_distance(reach))
    missing = 2 * reach - 1 - table.shape[1]
    return np.pad(table, ((0, 0), (0, missing)), "edge")
