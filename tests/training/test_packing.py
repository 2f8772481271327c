"""Packed rows hold whole examples, and a decoder-only model computes of each what it would alone."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hybrid.training.corpora import Corpus, Data
from hybrid.training.losses import IGNORED
from hybrid.training.packing import Packed, PackedBatches
from hybrid.training.recipe import Stage
from hybrid.training.stage_module import PackedModule
from tests.models.tiny import tiny_model

CPU = torch.device("cpu")
CORPUS = Corpus("a.tsv", "summarize")
DATA = Data((CORPUS,), (CORPUS,), ((32, 32),), row_tokens=32)
STAGE = Stage("s", "llm", 1)


def write(path: Path, rows: list[tuple[list[int], list[int]]], **more: np.ndarray) -> Path:
    arrays = {}
    for side, ids in zip(("source", "target"), zip(*rows, strict=True), strict=True):
        arrays[side] = np.concatenate(ids).astype(np.uint16)
        arrays[f"{side}_lengths"] = np.asarray([len(i) for i in ids], dtype=np.uint16)
    np.savez(path, **arrays, **more)
    return path


def random_rows(count: int, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 9, (count, 2))
    return [tuple(generator.integers(3, 90, n).tolist() for n in pair) for pair in lengths]


@pytest.fixture
def rows() -> list[tuple[list[int], list[int]]]:
    return random_rows(60)


@pytest.fixture
def path(tmp_path: Path, rows) -> Path:
    return write(tmp_path / "train.npz", rows)


def batches(path: Path, seed: int = 7, share: tuple[int, int] = (0, 1), tokens: int = 128) -> PackedBatches:
    return PackedBatches(path, DATA, tokens, seed, CPU, share)


def examples_of(batch: Packed) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(ids read, ids predicted) of each example in a batch."""
    labels = torch.full((batch.tokens.numel(),), IGNORED)
    scored = batch.labels != IGNORED
    labels[batch.scored[scored]] = batch.labels[scored]
    labels = labels.view_as(batch.tokens)
    examples = []
    for tokens, numbers, targets in zip(batch.tokens, batch.segments, labels, strict=True):
        for number in range(1, int(numbers.max()) + 1):
            mine = numbers == number
            predicted = targets[mine]
            examples.append((tuple(tokens[mine].tolist()), tuple(predicted[predicted != IGNORED].tolist())))
    return examples


def test_every_example_comes_once_whole_and_in_order(path: Path, rows) -> None:
    seen = Counter(example for batch in batches(path).epoch(0) for example in examples_of(batch))
    assert seen == Counter(((*source, *target[:-1]), tuple(target)) for source, target in rows)


def test_positions_count_from_the_start_of_each_example(path: Path) -> None:
    for batch in batches(path).epoch(0):
        for positions, numbers in zip(batch.positions, batch.segments, strict=True):
            for number in numbers.unique().tolist():
                mine = positions[numbers == number].tolist()
                assert mine == (list(range(len(mine))) if number else [0] * len(mine))


def test_batch_k_depends_on_seed_and_k_alone(path: Path) -> None:
    first, second, reseeded = batches(path), batches(path), batches(path, seed=8)
    steps = [0, 3, 9, 25]
    expected = {k: first[k] for k in steps}
    for k in reversed(steps):
        assert all(map(torch.equal, second[k], expected[k]))
    assert any(not torch.equal(reseeded[k].tokens, expected[k].tokens) for k in steps)


def test_two_processes_share_the_rows(path: Path) -> None:
    shares = [batches(path, share=(rank, 2), tokens=256) for rank in (0, 1)]
    alone = batches(path, tokens=256)
    for k in range(4):
        both = Counter(e for share in shares for e in examples_of(share[k]))
        assert both == Counter(examples_of(alone[k]))


def test_a_row_is_drawn_as_often_as_its_weight(tmp_path: Path, rows) -> None:
    repeats = np.where(np.arange(60) < 20, 2.5, 0.5).astype(np.float32)
    served = batches(write(tmp_path / "w.npz", rows, repeats=repeats))
    counts: Counter = Counter()
    for epoch in range(8):
        counts.update(e for batch in served.epoch(epoch) for e in examples_of(batch))
    names = [((*source, *target[:-1]), tuple(target)) for source, target in rows]
    assert 18 <= np.mean([counts[name] for name in names[:20]]) <= 22
    assert 3 <= np.mean([counts[name] for name in names[20:]]) <= 5


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gpt_neox", "gemma3_text", "opt"])
def test_losses_are_those_of_each_example_alone(path: Path, rows, family: str) -> None:
    model = tiny_model(family).eval()
    batch = next(batches(path, tokens=128).epoch(0))
    losses = PackedModule(STAGE, model, None).eval()(*batch)
    with torch.no_grad():
        alone = []
        for read, predicted in examples_of(batch):
            logits = model(torch.tensor([read])).logits[0, -len(predicted) :]
            alone.append(F.cross_entropy(logits, torch.tensor(predicted), reduction="none"))
    torch.testing.assert_close(losses[2], torch.cat(alone).mean(), rtol=1e-4, atol=1e-5)


def test_a_step_lowers_the_loss_and_a_twin_has_no_kl(path: Path) -> None:
    model, twin, batch = tiny_model("llama"), tiny_model("llama"), batches(path)[0]
    taught = PackedModule(Stage("s", "llm", 1, teacher="t", kl_weight=0.5), model, twin)
    assert taught.eval()(*batch)[3].abs() < 1e-5
    module = PackedModule(STAGE, model, None).train()
    before = module(*batch)[0]
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 0.05 * parameter.grad
    assert module(*batch)[0] < before
