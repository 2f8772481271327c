"""Batches of fixed shapes from prepared ids: batch k of a run is a function of seed and k alone.

It is the same on every machine and after every resume. Source and target are padded to
the lengths of a bucket; for decoder-only models packing.py has batches without padding.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hybrid.errors import RecipeError
from hybrid.training.corpora import Data
from hybrid.training.losses import IGNORED

Ids = Sequence[int] | NDArray[np.int64]


class Batch(NamedTuple):
    """Examples side by side. Letters: B rows, S source tokens, T target tokens."""

    source: torch.Tensor  # (B, S) ids, padded with 0
    mask: torch.Tensor  # (B, S) 1 for tokens
    labels: torch.Tensor  # (B, T) ids, IGNORED where padded
    rows: torch.Tensor  # (B,) the examples' places in the prepared data

    @property
    def padded_tokens(self) -> int:
        return self.source.numel() + self.labels.numel()


class Side:
    """Flat ids of one side on a device, gathered row by row."""

    def __init__(self, flat: NDArray[np.generic], lengths: NDArray[np.generic], device: torch.device) -> None:
        self.lengths = torch.from_numpy(lengths.astype(np.int64)).to(device)
        self.starts = self.lengths.cumsum(0) - self.lengths
        self.flat = torch.from_numpy(flat.astype(np.int32)).to(device)

    def gather(self, rows: torch.Tensor, width: int, fill: int) -> torch.Tensor:
        """(len(rows), width) ids, `fill` behind the end of each row."""
        at = torch.arange(width, device=rows.device)
        inside = at < self.lengths[rows][:, None]
        index = (self.starts[rows][:, None] + at).clamp_max(self.flat.numel() - 1)
        return torch.where(inside, self.flat[index].long(), fill)


class Batches:
    """Padded batches; every process takes its own rows of each.

    reads, writes: whose tokenizer the source and the target are in, `llm` or `slm`.
    """

    def __init__(
        self,
        path: Path,
        data: Data,
        tokens_per_step: int,
        seed: int,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
        reads: str = "llm",
        writes: str = "llm",
    ) -> None:
        arrays = np.load(path)
        source, target = side_name(arrays, "source", reads), side_name(arrays, "target", writes)
        lengths = arrays[f"{source}_lengths"], arrays[f"{target}_lengths"]
        self.source = Side(arrays[source], lengths[0], device)
        self.target = Side(arrays[target], lengths[1], device)
        self.seed, self.device, self.share = seed, device, share
        self.buckets = data.buckets
        self._members = _sort_into(data.buckets, *lengths)
        self._repeats = repeats(arrays)
        self._draws = [draws(self._repeats, members) for members in self._members]
        world = share[1]
        per_process = [max(8, tokens_per_step // (s + t) // (8 * world) * 8) for s, t in data.buckets]
        self.rows = [
            min(r * world, max(n // world * world, world))
            for r, n in zip(per_process, self._draws, strict=True)
        ]
        if not self.steps_per_epoch:
            raise RecipeError(f"No example of {path} fits the recipe's buckets.")
        self._plan_of = -1
        self._plan: list[tuple[int, NDArray[np.int64]]] = []

    @property
    def steps_per_epoch(self) -> int:
        return sum(n // r for n, r in zip(self._draws, self.rows, strict=True))

    def __getitem__(self, step: int) -> Batch:
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._plan_of:
            self._plan, self._plan_of = self._shuffle(epoch), epoch
        bucket, members = self._plan[index]
        rank, world = self.share
        return self._assemble(bucket, members[rank::world])

    def epoch(self, number: int) -> Iterator[Batch]:
        """All batches of one epoch, for evaluation."""
        for step in range(self.steps_per_epoch):
            yield self[number * self.steps_per_epoch + step]

    def examples(self) -> list[Batch]:
        """One batch of every bucket in use, the most lopsided first."""
        order = sorted(range(len(self.buckets)), key=lambda b: self.buckets[b][1] - self.buckets[b][0])
        rank, world = self.share
        return [
            self._assemble(b, np.resize(self._members[b], self.rows[b])[rank::world])
            for b in order
            if len(self._members[b]) and self._draws[b] >= self.rows[b]
        ]

    def _assemble(self, bucket: int, members: NDArray[np.int64]) -> Batch:
        width_s, width_t = self.buckets[bucket]
        rows = torch.from_numpy(members).to(self.device, non_blocking=True)
        source = self.source.gather(rows, width_s, 0)
        mask = (torch.arange(width_s, device=self.device) < self.source.lengths[rows][:, None]).long()
        return Batch(source, mask, self.target.gather(rows, width_t, IGNORED), rows)

    def _shuffle(self, epoch: int) -> list[tuple[int, NDArray[np.int64]]]:
        generator = np.random.default_rng([self.seed, epoch])
        plan: list[tuple[int, NDArray[np.int64]]] = []
        for bucket, (members, rows) in enumerate(zip(self._members, self.rows, strict=True)):
            mixed = drawn(generator, self._repeats, members, self._draws[bucket])
            plan += [(bucket, mixed[i : i + rows]) for i in range(0, len(mixed) // rows * rows, rows)]
        order = generator.permutation(len(plan))
        return [plan[i] for i in order]


def side_name(arrays: Mapping[str, object], side: str, role: str) -> str:
    """Name the array of a role's ids: the LLM's stand for the SLM's where both have one tokenizer."""
    return f"slm_{side}" if role == "slm" and f"slm_{side}" in arrays else side


def padded(prompts: Sequence[Ids]) -> torch.Tensor:
    """(B, S) ids, padded with 0 at the end."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in prompts], batch_first=True)


def mask_of(ids: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """(B, S) 1 for tokens, for ids that are padded behind them."""
    return (torch.arange(ids.shape[1]) < torch.tensor(lengths)[:, None]).long()


def by_length(prompts: Sequence[Ids], size: Callable[[int], int]) -> Iterator[tuple[list[int], torch.Tensor]]:
    """All prompts in batches, the shortest first: their places, and their ids (B, S).

    Like lengths together mean less padding. size: how many prompts to take, 1
    or more, by the tokens of the shortest of them.
    """
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    start = 0
    while start < len(order):
        places = order[start : start + size(len(prompts[order[start]]))]
        start += len(places)
        yield places, padded([prompts[place] for place in places])


def repeats(arrays: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32] | None:
    return arrays.get("repeats")


def draws(repeats: NDArray[np.float32] | None, members: NDArray[np.int64]) -> int:
    """Return how many of these examples an epoch draws."""
    return len(members) if repeats is None else int(repeats[members].sum(dtype=np.float64))


def drawn(
    generator: np.random.Generator,
    repeats: NDArray[np.float32] | None,
    members: NDArray[np.int64],
    count: int,
) -> NDArray[np.int64]:
    """Draw `count` of these examples in random order, each as often as it should be, rounded at random."""
    mixed = generator.permutation(members)
    if repeats is None:
        return mixed
    ends = np.floor(np.cumsum(repeats[mixed], dtype=np.float64) + generator.random()).astype(np.int64)
    drawn = np.repeat(mixed, np.diff(ends, prepend=0))
    return generator.permutation(drawn)[:count]


def _sort_into(
    buckets: tuple[tuple[int, int], ...], sources: NDArray[np.uint16], targets: NDArray[np.uint16]
) -> list[NDArray[np.int64]]:
    left = np.ones(len(sources), dtype=bool)
    members: list[NDArray[np.int64]] = []
    for s, t in buckets:
        fits = left & (sources <= s) & (targets <= t)
        left &= ~fits
        members.append(np.flatnonzero(fits))
    return members
