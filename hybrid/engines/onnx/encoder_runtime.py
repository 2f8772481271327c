"""Runs the graphs of encoders, one prompt at a time.

Letters: B prompts, S prompt tokens, D model width, H heads, K head width, R what parts.bias_table
reaches over; queries and keys in tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnxruntime

from hybrid.engines.decoding import Prompts
from hybrid.engines.onnx.runtime import (
    BIAS,
    COSINES,
    FREQUENCIES,
    IDS,
    LAST,
    LATENT,
    POSITIONS,
    SINES,
    STATES,
    TOTAL,
    Array,
    BuiltGraph,
    create_session,
    ort_value,
)
from hybrid.schema import Phase

SHORTEST = 512  # positions of a table of turns

HiddenStates: TypeAlias = onnxruntime.OrtValue  # (1, S, D) float32


@dataclass(frozen=True)
class EncodedPrompts:
    """B prompts, as ids, and the hidden states of each; none where a decoder-only model takes the ids."""

    ids: Prompts
    hidden: Sequence[HiddenStates]


class PromptIds:
    """decoding.Encoder: nothing, for a decoder-only model."""

    phase: Phase | None = None

    def __call__(self, prompts: Prompts) -> EncodedPrompts:
        """Give B prompts as they are."""
        return EncodedPrompts(prompts, ())


class EncoderSession:
    """decoding.Encoder: an encoder's graph."""

    phase: Phase | None = "encode"

    def __init__(self, graph: BuiltGraph, threads: int) -> None:
        self._session = _PromptSession(graph, threads)

    def __call__(self, prompts: Prompts) -> EncodedPrompts:
        """Encode B prompts."""
        return EncodedPrompts(prompts, [self._session(ids) for ids in prompts])


class FusionSession:
    """decoding.Fusion: the graph of a projector, fusion and the SLM's encoder, if it has one."""

    def __init__(self, graph: BuiltGraph, threads: int) -> None:
        self._session = _PromptSession(graph, threads)

    def __call__(self, states: EncodedPrompts) -> EncodedPrompts:
        """Turn what the LLM has encoded into what the hybrid's decoder takes."""
        pairs = zip(states.ids, states.hidden, strict=True)
        return EncodedPrompts(states.ids, [self._session(ids, latent) for ids, latent in pairs])


class _PromptSession:
    """A session that takes one prompt at a time."""

    def __init__(self, graph: BuiltGraph, threads: int) -> None:
        self._session = create_session(graph, threads)
        self._inputs = {node.name for node in self._session.get_inputs()}
        self._bias = PositionBias(graph.tables[BIAS]) if BIAS in graph.tables else None
        self._turns = Turns(graph.tables.get(FREQUENCIES))

    def __call__(self, ids: Sequence[int], latent: HiddenStates | None = None) -> HiddenStates:
        """Encode one prompt to (1, S, D). latent: the LLM's hidden states, which a fusion takes as well."""
        tokens = len(ids)
        feeds = {IDS: ort_value(np.array([ids], np.int64))}
        if self._bias is not None:
            feeds[BIAS] = ort_value(self._bias(0, tokens, tokens))
        if LAST in self._inputs:
            feeds[LAST] = ort_value(np.array([tokens - 1], np.int32))
            feeds[TOTAL] = ort_value(np.array(tokens, np.int32))
            feeds |= self._turns(tokens)
        if POSITIONS in self._inputs:
            feeds[POSITIONS] = ort_value(np.arange(tokens)[np.newaxis])
        if latent is not None:
            feeds[LATENT] = latent
        return self._session.run_with_ort_values([STATES], feeds)[0]


class Turns:
    """Tables by which rotary positions turn heads.

    frequencies: (K / 2,) radians a token; None where positions are others.
    """

    def __init__(self, frequencies: Array | None) -> None:
        self._frequencies = frequencies
        self._positions = 0
        self._tables: dict[str, onnxruntime.OrtValue] = {}

    def __call__(self, positions: int) -> Mapping[str, onnxruntime.OrtValue]:
        """Give COSINES and SINES, of at least so many positions; nothing where no head turns."""
        if self._frequencies is not None and positions > self._positions:
            self._positions = max(positions, 2 * self._positions, SHORTEST)
            angles = np.arange(self._positions, dtype=np.float32)[:, np.newaxis] * self._frequencies
            self._tables = {COSINES: ort_value(np.cos(angles)), SINES: ort_value(np.sin(angles))}
        return self._tables


class PositionBias:
    """Relative position bias, cut to what one pass needs.

    table: (H, 2R - 1) biases by distance, column R - 1 being distance 0.
    """

    def __init__(self, table: Array) -> None:
        self._table = table

    def __call__(self, first: int, queries: int, keys: int) -> Array:
        """Give (1, H, queries, keys) of queries at `first`, `first` + 1 ... and keys at 0, 1 ..."""
        self._widen(max(first + queries, keys))
        zero = self._table.shape[1] // 2  # the column of distance 0
        across, along = self._table.strides
        rows = np.lib.stride_tricks.as_strided(  # each query's row starts one column before that of the last
            self._table[:, zero - first :], (len(self._table), queries, keys), (across, -along, along)
        )
        return np.ascontiguousarray(rows)[np.newaxis]

    def _widen(self, reach: int) -> None:
        """Repeat the outermost columns: far keys are all alike."""
        missing = reach - 1 - self._table.shape[1] // 2
        if missing > 0:
            self._table = np.pad(self._table, ((0, 0), (missing, missing)), "edge")
