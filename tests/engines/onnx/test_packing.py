"""8-bit matrices: exact where they were int8 rows, close elsewhere, and never beyond their range."""

import numpy as np
import pytest
import torch

from hybrid.engines.onnx import packing
from hybrid.engines.onnx.graph import GraphBuilder
from hybrid.engines.onnx.packing import LARGEST_IN_ROWS, ZERO, block_size, blocks, held_by_rows, rows
from hybrid.engines.onnx.runtime import create_session
from hybrid.models.architectures.records import Linear
from hybrid.models.pair_files import dequantize, quantize


def weight(outputs: int, inputs: int, seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).standard_normal((outputs, inputs)).astype(np.float32)
    matrix[1] *= 1e-4
    matrix[2] = 0.0
    matrix[3, 0] = 50.0  # an outlier, which coarsens its own block alone
    return matrix


def unpacked(packed: np.ndarray, scales: np.ndarray, inputs: int) -> np.ndarray:
    values = (packed.astype(np.float32) - ZERO) * scales[..., None]
    return values.reshape(len(packed), -1)[:, :inputs]


@pytest.mark.parametrize(
    ("inputs", "block"),
    [(8, 32), (32, 32), (48, 32), (384, 128), (512, 256), (768, 256), (896, 128), (1000, 32)],
)
def test_blocks_are_as_large_as_they_can_be_without_filling(inputs, block):
    assert block_size(inputs) == block
    packed, scales = blocks(weight(8, inputs), block)
    assert packed.shape == (8, -(-inputs // block), block)
    assert (packed.dtype, scales.shape, scales.dtype) == (np.uint8, packed.shape[:2], np.float32)


@pytest.mark.parametrize("inputs", [40, 384])
def test_blocks_are_off_by_at_most_half_a_step(inputs):
    matrix = weight(8, inputs)
    packed, scales = blocks(matrix, block_size(inputs))
    steps = np.repeat(scales, packed.shape[2], axis=1)[:, :inputs]
    assert (np.abs(unpacked(packed, scales, inputs) - matrix) <= steps * 0.5001).all()
    assert (scales[3, 1:] < scales[3, 0] / 5).all()
    assert packed.min() >= 1


def test_blocks_hold_int8_rows_exactly():
    matrix = torch.from_numpy(weight(64, 384)).clone()
    stored = dequantize(quantize({"w": matrix}))["w"].numpy()
    assert held_by_rows(stored)
    assert not held_by_rows(matrix.numpy())
    packed, scales = blocks(stored, 128)
    np.testing.assert_allclose(unpacked(packed, scales, 384), stored, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(unpacked(*blocks(matrix.numpy(), 128), 384)[3], matrix[3], atol=50 / 127)


def test_every_row_is_packed_by_itself(monkeypatch):
    matrix = weight(20, 40)
    packed, scales = blocks(matrix, 32)
    monkeypatch.setattr(packing, "AT_ONCE", 8)
    for some, expected in zip(blocks(matrix, 32), (packed, scales), strict=True):
        np.testing.assert_array_equal(some, expected)
    np.testing.assert_array_equal(blocks(matrix[19:], 32)[0][0], packed[19])


def test_rows_stay_within_7_bits():
    matrix = weight(8, 40)
    packed, scales = rows(matrix)
    assert (packed.shape, packed.dtype, scales.shape) == ((40, 8), np.int8, (8,))
    assert np.abs(packed).max() == LARGEST_IN_ROWS
    assert 2 * 255 * LARGEST_IN_ROWS < 2**15
    assert (np.abs(packed.T * scales[:, None] - matrix) <= scales[:, None] * 0.5001).all()


@pytest.mark.parametrize("outlier", [1.0, 1000.0])
@pytest.mark.parametrize("inputs", [48, 192])
def test_what_8_bits_leave_of_an_activation_is_multiplied_too(outlier, inputs):
    """An outlier coarsens the other activations of its block, of small products those that matter."""
    matrix = torch.randn(40, inputs, generator=torch.Generator().manual_seed(0))
    stored = Linear(weight=dequantize(quantize({"w": matrix}))["w"], bias=torch.ones(40))
    x = np.random.default_rng(1).standard_normal((2, 3, inputs)).astype(np.float32)
    x[:, :, 0] *= outlier
    x[1] = 0.0
    errors = []
    for fine in (False, True):
        graph = GraphBuilder("blocks", fine)
        product = graph.linear(graph.input("x", np.float32, ("B", "N", inputs)), stored)
        graph.op("Identity", product, name=graph.output("y", np.float32, ("B", "N", 40)))
        (y,) = create_session(graph.build({}), 1).run(["y"], {"x": x})
        errors.append(np.abs(y - (x @ stored.weight.numpy().T + 1)).max() / np.abs(y).max())
    assert errors[1] < (errors[0] / 20 if inputs == 192 else 1.001 * errors[0])
    assert 1e-6 < errors[0] < 0.02
