"""8-bit matrices as ONNX Runtime's operators take them.

Bundled weights are stored as int8 rows, one scale a row (hybrid.models.pair_files).
`blocks` holds such a matrix exactly, so that only activations are rounded.

Letters: N outputs and K inputs of a matrix, G groups of inputs that share a scale, a block.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

SMALLEST_BLOCK, LARGEST_BLOCK = 32, 256
ZERO = 128  # what MatMulNBits takes for zero in 8 bits when it is given no zero points
LARGEST = 127
EXACT = 1e-3  # of a step
AT_ONCE = 1024  # outputs that are packed together, since that takes several times their memory
# Where the CPU lacks VNNI, MLAS adds two products of 8-bit numbers in 16 bits, which must hold
# 2 * 255 * 63 but would not hold 2 * 255 * 127: with 7-bit weights every CPU gives the same.
LARGEST_IN_ROWS = 63


def block_size(inputs: int) -> int:
    """Choose how many of K inputs share a scale: the fewer the more exact, the more the faster.

    The largest power of two that divides K, since a block that is not full is work for nothing.
    """
    return min(max(inputs & -inputs, SMALLEST_BLOCK), LARGEST_BLOCK)


def held_by_rows(weight: Floats) -> bool:
    """Say whether (N, K) weights are int8 rows with a scale each, as bundled ones are."""
    scales = _scale(np.abs(weight).max(axis=1, keepdims=True), LARGEST)
    some = slice(None, None, max(1, len(weight) // AT_ONCE))
    rounded = _round(weight[some], scales[some], LARGEST) * scales[some]
    return bool((np.abs(rounded - weight[some]) <= EXACT * scales[some]).all())


def blocks(weight: Floats, block: int) -> tuple[NDArray[np.uint8], Floats]:
    """Pack (N, K) weights for MatMulNBits: (N, G, block) and scales (N, G), weight = (packed - ZERO) * scale.

    The last block is filled up with zeros. Each block's scale is its own
    largest magnitude over LARGEST, or that of the whole row where the row then
    fits better: it does where it was int8 before.
    """
    outputs, inputs = weight.shape
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
