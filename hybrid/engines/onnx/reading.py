"""Runs the graphs of encoder.py, one prompt at a time.

Letters: S prompt tokens, D model width.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import onnxruntime

from hybrid.engines.onnx.bias import PositionBias
from hybrid.engines.onnx.names import BIAS, IDS, LATENT, STATES
from hybrid.engines.onnx.sessions import Part, session, value

States: TypeAlias = onnxruntime.OrtValue  # (1, S, D) float32


class Encoder:
    """Prompt ids to encoder hidden states."""

    def __init__(self, part: Part, threads: int) -> None:
        self._session = session(part, threads)
        self._bias = PositionBias(part.tables[BIAS])

    def __call__(self, ids: Sequence[int], latent: States | None = None) -> States:
        """(1, S, D) of one prompt. latent: the LLM's states, which a hybrid reads as well."""
        tokens = len(ids)
        feeds = {
            IDS: value(np.array([ids], np.int64)),
            BIAS: value(self._bias(0, tokens, tokens)),
        }
        if latent is not None:
            feeds[LATENT] = latent
        return self._session.run_with_ort_values([STATES], feeds)[0]
