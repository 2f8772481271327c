"""Relative position bias, cut to what one pass needs.

Letters: H heads, R what t5.bias_table reaches over, queries and keys in tokens.
"""

import numpy as np

from hybrid.engines.onnx.sessions import Array


class PositionBias:
    """(H, 2R - 1) biases by distance, column R - 1 being distance 0, as t5.bias_table gives them."""

    def __init__(self, table: Array) -> None:
        self._table = table

    def __call__(self, first: int, queries: int, keys: int) -> Array:
        """(1, H, queries, keys) of queries at `first`, `first` + 1 ... and keys at 0, 1 ..."""
        self._widen(max(first + queries, keys))
        zero = self._table.shape[1] // 2  # the column of distance 0
        across, along = self._table.strides
        rows = np.lib.stride_tricks.as_strided(  # each query's row starts one column before that of the last
            self._table[:, zero - first :], (len(self._table), queries, keys), (across, -along, along)
        )
        return np.ascontiguousarray(rows)[np.newaxis]

    def _widen(self, reach: int) -> None:
        """Far keys are all alike, so the outermost columns are repeated."""
        more = reach - 1 - self._table.shape[1] // 2
        if more > 0:
            self._table = np.pad(self._table, ((0, 0), (more, more)), "edge")
