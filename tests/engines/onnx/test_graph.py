"""8-bit matrices: exact where they were int8 rows, close elsewhere, and never beyond their range."""

import numpy as np
import pytest
import torch

from hybrid.engines.onnx import graph
from hybrid.engines.onnx.graph import LARGEST_IN_ROWS, ZERO, block_size, blocks, rows
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
    packed, scales = blocks(weight(8, inputs))
    assert packed.shape == (8, -(-inputs // block), block)
    assert (packed.dtype, scales.shape, scales.dtype) == (np.uint8, packed.shape[:2], np.float32)


@pytest.mark.parametrize("inputs", [40, 384])
def test_blocks_are_off_by_at_most_half_a_step(inputs):
    matrix = weight(8, inputs)
    packed, scales = blocks(matrix)
    steps = np.repeat(scales, packed.shape[2], axis=1)[:, :inputs]
    assert (np.abs(unpacked(packed, scales, inputs) - matrix) <= steps * 0.5001).all()
    assert (scales[3, 1:] < scales[3, 0] / 5).all()
    assert packed.min() >= 1


def test_blocks_hold_int8_rows_exactly():
    matrix = torch.from_numpy(weight(64, 384)).clone()
    stored = dequantize(quantize({"w": matrix}))["w"].numpy()
    packed, scales = blocks(stored)
    np.testing.assert_allclose(unpacked(packed, scales, 384), stored, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(unpacked(*blocks(matrix.numpy()), 384)[3], matrix[3], atol=50 / 127)


def test_every_row_is_packed_by_itself(monkeypatch):
    matrix = weight(20, 40)
    packed, scales = blocks(matrix)
    monkeypatch.setattr(graph, "AT_ONCE", 8)
    for some, expected in zip(blocks(matrix), (packed, scales), strict=True):
        np.testing.assert_array_equal(some, expected)
    np.testing.assert_array_equal(blocks(matrix[19:])[0][0], packed[19])


def test_rows_stay_within_7_bits():
    matrix = weight(8, 40)
    packed, scales = rows(matrix)
    assert (packed.shape, packed.dtype, scales.shape) == ((40, 8), np.int8, (8,))
    assert np.abs(packed).max() == LARGEST_IN_ROWS
    assert 2 * 255 * LARGEST_IN_ROWS < 2**15
    assert (np.abs(packed.T * scales[:, None] - matrix) <= scales[:, None] * 0.5001).all()
