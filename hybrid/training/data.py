"""From corpora to fixed-shape batches.

`prepare` trains the tokenizer and turns every corpus into flat arrays of ids,
once; `Batches` serves step k of a run from them, the same on every machine
and after every resume.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hybrid.errors import RecipeError
from hybrid.models.prompts import TextEncoder
from hybrid.schema import TASKS
from hybrid.schema.texts import normalized
from hybrid.store.files import atomic_write, open_atomic
from hybrid.suites.files import read_examples
from hybrid.training.losses import IGNORED
from hybrid.training.recipe import Corpus, Data, Recipe, prepared
from hybrid.training.settings import data_settings, record

Pair = tuple[str, str, str]  # task, source, target
Ids = Sequence[int] | NDArray[np.int64]
SPECIALS = ("<pad>", "</s>", "<unk>")  # ids 0, 1, 2


def prepare(recipe: Recipe) -> None:
    """Write tokenizer.json, train.npz and dev.npz unless they are there."""
    target = prepared(recipe)
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    pairs = [pair for corpus in recipe.data.train for pair in read_corpus(corpus)]
    texts = (normalized(text, TASKS[task].lines) for task, *both in pairs for text in both)
    tokenizer = train_tokenizer(texts, recipe.vocab_size)
    atomic_write(tokenizer_path(recipe), tokenizer.to_str(pretty=True).encode())
    dev = [pair for corpus in recipe.data.dev for pair in read_corpus(corpus)]
    save_ids(target.with_name("dev.npz"), tokenizer, dev, recipe.data)
    record(target.parent, data_settings(recipe))
    save_ids(target, tokenizer, pairs, recipe.data)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer of exactly `vocab_size` entries, each task's prefix one of them.

    It is byte-level BPE, so that every text can be read and written. Digits are split one by one,
    so that numbers are copied digit by digit.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    prefixes = [AddedToken(task.prefix.rstrip(), normalized=False) for task in TASKS.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(prefixes),
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(prefixes)
    return tokenizer


def tokenizer_path(recipe: Recipe) -> Path:
    return prepared(recipe).with_name("tokenizer.json")


def read_corpus(corpus: Corpus) -> Iterator[Pair]:
    """Yield the usable examples of one file, with the first reference of each."""
    for example in read_examples(corpus.path, corpus.columns or None):
        target = example.references[0]
        if example.domain not in corpus.exclude and _is_usable(example.source, target):
            yield corpus.task, example.source, target


def save_ids(path: Path, tokenizer: Tokenizer, pairs: list[Pair], data: Data) -> None:
    """Tokenize and store flat uint16 ids with their lengths, ends of sequence included."""
    eos: int = tokenizer.token_to_id("</s>")  # type: ignore[assignment]  # every tokenizer of ours has it
    encoder = TextEncoder(tokenizer)
    sources = encoder.prompts((task, source) for task, source, _ in pairs)
    targets = encoder.answers((task, target) for task, _, target in pairs)
    widest = max(width for _, width in data.buckets)
    rows = [
        ([*source[: data.max_source - 1], eos], [*target, eos])
        for source, target in zip(sources, targets, strict=True)
        if len(target) < widest
    ]
    save_rows(path, rows)


def save_rows(path: Path, rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
    """Store source and target ids of each example, whole or not at all."""
    if not rows:
        raise RecipeError(f"The recipe's corpora hold no usable example for {path}.")
    arrays: dict[str, NDArray[np.uint16]] = {}
    for name, side in (("source", 0), ("target", 1)):
        arrays[name] = np.concatenate([np.asarray(row[side], dtype=np.uint16) for row in rows])
        arrays[f"{name}_lengths"] = np.asarray([len(row[side]) for row in rows], dtype=np.uint16)
    with open_atomic(path) as stream:
        np.savez(stream, allow_pickle=False, **arrays)


@dataclass(frozen=True)
class Batch:
    """One fixed-shape batch. Letters: B rows, S source tokens, T target tokens."""

    source: torch.Tensor  # (B, S) ids, padded with 0
    mask: torch.Tensor  # (B, S) 1 for tokens
    labels: torch.Tensor  # (B, T) ids, IGNORED where padded


class Side:
    """Flat ids of one side on a device, gathered row by row."""

    def __init__(self, flat: NDArray[np.uint16], lengths: NDArray[np.uint16], device: torch.device) -> None:
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
    """Batch k of a run, a function of (seed, k) alone; every process takes its own rows of it."""

    def __init__(
        self,
        path: Path,
        data: Data,
        tokens_per_step: int,
        seed: int,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        arrays = np.load(path)
        self.source = Side(arrays["source"], arrays["source_lengths"], device)
        self.target = Side(arrays["target"], arrays["target_lengths"], device)
        self.seed, self.device, self.share = seed, device, share
        self.buckets = data.buckets
        self._members = _sort_into(data.buckets, arrays["source_lengths"], arrays["target_lengths"])
        world = share[1]
        per_process = [max(8, tokens_per_step // (s + t) // (8 * world) * 8) for s, t in data.buckets]
        self.rows = [
            min(r * world, max(len(m) // world * world, world))
            for r, m in zip(per_process, self._members, strict=True)
        ]
        if not self.steps_per_epoch:
            raise RecipeError(f"No example of {path} fits the recipe's buckets.")
        self._plan_of = -1
        self._plan: list[tuple[int, NDArray[np.int64]]] = []

    @property
    def steps_per_epoch(self) -> int:
        return sum(len(m) // r for m, r in zip(self._members, self.rows, strict=True))

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
            self._assemble(b, self._members[b][: self.rows[b]][rank::world])
            for b in order
            if len(self._members[b]) >= self.rows[b]
        ]

    def _assemble(self, bucket: int, members: NDArray[np.int64]) -> Batch:
        width_s, width_t = self.buckets[bucket]
        rows = torch.from_numpy(members).to(self.device, non_blocking=True)
        source = self.source.gather(rows, width_s, 0)
        mask = (torch.arange(width_s, device=self.device) < self.source.lengths[rows][:, None]).long()
        return Batch(source, mask, self.target.gather(rows, width_t, IGNORED))

    def _shuffle(self, epoch: int) -> list[tuple[int, NDArray[np.int64]]]:
        generator = np.random.default_rng([self.seed, epoch])
        plan: list[tuple[int, NDArray[np.int64]]] = []
        for bucket, (members, rows) in enumerate(zip(self._members, self.rows, strict=True)):
            mixed = generator.permutation(members)
            plan += [(bucket, mixed[i : i + rows]) for i in range(0, len(mixed) // rows * rows, rows)]
        order = generator.permutation(len(plan))
        return [plan[i] for i in order]


def padded(prompts: Sequence[Ids]) -> torch.Tensor:
    """(B, S) ids, padded with 0 at the end."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in prompts], batch_first=True)


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


def _is_usable(source: str, target: str) -> bool:
    """Neither empty nor left untranslated."""
    if not normalized(source) or not normalized(target):
        return False
    return source != target or len(source.split()) < 4
