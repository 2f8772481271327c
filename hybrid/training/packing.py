"""Batches for decoder-only models: rows filled with several examples, none of which sees another.

Batch k of a run is a function of seed and k alone, as in batches.py.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from hybrid.errors import RecipeError
from hybrid.training.batches import Batch, drawn, draws, repeats, side_name
from hybrid.training.corpora import ROW_TOKENS, Data
from hybrid.training.losses import IGNORED

SCORED_MULTIPLE = 2048  # of a batch's scored tokens: few shapes, each compiled and captured once


class Packed(NamedTuple):
    """Examples one behind the other in rows. Letters: R rows, L tokens a row, C scored tokens."""

    tokens: torch.Tensor  # (R, L) ids of source and answer, 0 where nothing is
    positions: torch.Tensor  # (R, L) from 0 in each example
    segments: torch.Tensor  # (R, L) the example's number in its row from 1; 0 where nothing is
    scored: torch.Tensor  # (C,) places in the flat batch whose next token is one of an answer
    labels: torch.Tensor  # (C,) those next tokens, IGNORED behind the last one

    @property
    def padded_tokens(self) -> int:
        return self.tokens.numel()


AnyBatch: TypeAlias = Batch | Packed


class PackedBatches:
    """Packed batches of one model's prompts and answers; every process takes its own rows of each.

    Examples longer than a row are left out. An epoch's last rows, too few for a batch, are, too.
    """

    def __init__(
        self,
        path: Path,
        data: Data,
        tokens_per_step: int,
        seed: int,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
        role: str = "llm",
        width: int | None = None,
    ) -> None:
        arrays = np.load(path)
        source, target = side_name(arrays, "source", role), side_name(arrays, "target", role)
        self._sources = arrays[f"{source}_lengths"].astype(np.int64)
        lengths = self._sources + arrays[f"{target}_lengths"]
        self._flat = _joined(arrays[source], arrays[target], self._sources, lengths)
        self._starts, self._inputs = (
            np.cumsum(lengths) - lengths,
            lengths - 1,
        )  # the last id is only predicted
        self._repeats = repeats(arrays)
        self.width = width or data.row_tokens or ROW_TOKENS
        self._members = np.flatnonzero(self._inputs <= self.width)
        self._draws = draws(self._repeats, self._members)
        self.seed, self.device, self.share = seed, device, share
        tokens = int(self._inputs[self._members].sum()) or 1
        rows_per_step = max(1, tokens_per_step // (self.width * share[1])) * share[1]
        self.rows = max(share[1], min(rows_per_step, tokens // (2 * self.width) // share[1] * share[1]))
        if not len(self._members):
            raise RecipeError(f"No example of {path} fits into row_tokens, {self.width}.")
        self._plan_of, self._plan = -1, list[NDArray[np.int64]]()
        self._epochs = [0]  # the first batch of each epoch whose length is known

    def __getitem__(self, step: int) -> Packed:
        while self._epochs[-1] <= step:
            self._fill(len(self._epochs) - 1)
            self._epochs.append(self._epochs[-1] + self._batches())
        epoch = int(np.searchsorted(self._epochs, step, side="right")) - 1
        self._fill(epoch)
        first = (step - self._epochs[epoch]) * self.rows
        rank, world = self.share
        return self._assemble(self._plan[first : first + self.rows][rank::world])

    def epoch(self, number: int) -> Iterator[Packed]:
        """All rows of one epoch, for evaluation, the last batch filled up with empty rows."""
        self._fill(number)
        rank, world = self.share
        for first in range(0, len(self._plan), self.rows):
            yield self._assemble(self._plan[first : first + self.rows][rank::world])

    def examples(self) -> list[Packed]:
        """Batches of the shapes in use."""
        return [self[0]]

    def _batches(self) -> int:
        return max(1, len(self._plan) // self.rows)

    def _fill(self, epoch: int) -> None:
        """Plan the rows of an epoch: each takes examples in order as long as they fit."""
        if epoch == self._plan_of:
            return
        generator = np.random.default_rng([self.seed, epoch])
        order = drawn(generator, self._repeats, self._members, self._draws)
        ends, used = [0], 0
        for place, length in enumerate(self._inputs[order].tolist()):
            if used + length > self.width:
                ends.append(place)
                used = 0
            used += length
        self._plan, self._plan_of = np.split(order, ends[1:]), epoch

    def _assemble(self, rows: Sequence[NDArray[np.int64]]) -> Packed:
        count = self.rows // self.share[1]
        counts = [len(row) for row in rows]
        examples = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        row_of, lengths = np.repeat(np.arange(len(rows)), counts), self._inputs[examples]
        number = np.concatenate([np.arange(1, n + 1) for n in counts]) if rows else examples
        before = np.cumsum(lengths) - lengths
        first_of_row = np.repeat(before[np.cumsum(counts) - counts], counts) if rows else before
        within = np.arange(lengths.sum()) - np.repeat(before, lengths)
        place = np.repeat(row_of * self.width + before - first_of_row, lengths) + within
        at = np.repeat(self._starts[examples], lengths) + within
        scored = within >= np.repeat(self._sources[examples], lengths) - 1
        capacity = -(-max(int(scored.sum()), 1) // SCORED_MULTIPLE) * SCORED_MULTIPLE
        flat = {name: np.zeros(count * self.width, np.int64) for name in ("tokens", "positions", "segments")}
        flat["tokens"][place] = self._flat[at]
        flat["positions"][place] = within
        flat["segments"][place] = np.repeat(number, lengths)
        index, labels = np.zeros(capacity, np.int64), np.full(capacity, IGNORED, np.int64)
        index[: scored.sum()], labels[: scored.sum()] = place[scored], self._flat[at[scored] + 1]
        shaped = [values.reshape(count, self.width) for values in flat.values()]
        return Packed(*(torch.from_numpy(values).to(self.device) for values in (*shaped, index, labels)))


def _joined(
    sources: NDArray[np.generic],
    targets: NDArray[np.generic],
    source_lengths: NDArray[np.int64],
    lengths: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Flat ids of each source followed by its target."""
    flat = np.empty(int(lengths.sum()), np.int32)
    starts = np.cumsum(lengths) - lengths
    within = np.arange(len(flat)) - np.repeat(starts, lengths)
    of_source = within < np.repeat(source_lengths, lengths)
    flat[of_source], flat[~of_source] = sources, targets
    return flat
