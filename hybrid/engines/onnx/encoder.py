"""Graphs that read prompts: the encoder of a T5, and what makes the LLM's states those of a hybrid.

They read one prompt at a time, so there is no padding that could leak, and 8-bit
matrices round its activations whatever else is in the batch.

Letters: S tokens of the prompt, D model width, H heads, K head width.
"""

from typing import Any

import numpy as np

from hybrid.engines.onnx.graph import CONTRIB, Graph
from hybrid.engines.onnx.names import BIAS, IDS, LATENT, STATES
from hybrid.engines.onnx.sessions import Matrix, Part
from hybrid.engines.onnx.t5 import bias_table, check_supported, feed_forward, floats, gain


def encoder_part(model: Any, matrix: Matrix) -> Part:
    """IDS (1, S) and BIAS (1, H, S, S) to STATES (1, S, D), of a T5 or its encoder alone."""
    check_supported(model.config)
    graph = Graph(matrix, model.config.layer_norm_epsilon)
    ids = graph.input(IDS, np.int64, (1, "S"))
    return _encoded(graph, model.get_encoder(), _embedded(graph, model, ids))


def fusion_part(hybrid: Any, matrix: Matrix) -> Part:
    """IDS (1, S), BIAS (1, H, S, S) and LATENT, the LLM's states (1, S, d_llm), to STATES (1, S, d_slm)."""
    slm, projector = hybrid.slm, hybrid.projector
    check_supported(slm.config)
    graph = Graph(matrix, slm.config.layer_norm_epsilon)
    ids = graph.input(IDS, np.int64, (1, "S"))
    latent = graph.input(LATENT, np.float32, (1, "S", projector.up.in_features))
    inner = graph.op("Add", graph.linear(latent, floats(projector.up.weight)), _bias(graph, projector.up))
    inner = graph.op("Relu", inner)
    fused = graph.linear(inner, floats(projector.down.weight), uneven=True)
    fused = graph.op("Add", fused, _bias(graph, projector.down))
    if hybrid.config.fusion == "add":
        fused = graph.op("Add", _embedded(graph, slm, ids), fused)
    return _encoded(graph, slm.get_encoder(), fused)


def _embedded(graph: Graph, model: Any, ids: str) -> str:
    return graph.op("Gather", graph.weight(floats(model.get_input_embeddings().weight)), ids)


def _bias(graph: Graph, linear: Any) -> str:
    return graph.weight(floats(linear.bias))


def _encoded(graph: Graph, stack: Any, x: str) -> Part:
    """The whole graph, once x (1, S, D) has been made."""
    config = stack.config
    heads = config.num_heads
    bias = graph.input(BIAS, np.float32, (1, heads, "S", "S"))
    gains = [gain(part) for block in stack.block for part in block.layer]
    gains.append(floats(stack.final_layer_norm.weight))
    residual, normed = x, graph.norm(x, gains[0])
    for number, block in enumerate(stack.block):
        attention = block.layer[0].SelfAttention
        qkv = graph.linears(normed, *(floats(one.weight) for one in (attention.q, attention.k, attention.v)))
        mixed = graph.op("MultiHeadAttention", *qkv, "", "", bias, domain=CONTRIB, num_heads=heads, scale=1.0)
        attended = graph.linear(mixed, floats(attention.o.weight))
        normed, residual = graph.add_and_norm(attended, residual, gains[2 * number + 1])
        forwarded = feed_forward(graph, block.layer[1], normed)
        normed, residual = graph.add_and_norm(forwarded, residual, gains[2 * number + 2])
    graph.op("Identity", normed, name=graph.output(STATES, np.float32, (1, "S", config.d_model)))
    return graph.part({BIAS: bias_table(stack)})
