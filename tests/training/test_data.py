"""What is kept of a corpus, and that batch k is a function of (seed, k), whole and fixed in shape."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from hybrid.errors import RecipeError
from hybrid.models.pair_files import load_tokenizer
from hybrid.models.prompts import TextCodec
from hybrid.schema import TASKS
from hybrid.training.batches import Batch, Batches, by_length, padded
from hybrid.training.corpora import read_corpora, read_corpus
from hybrid.training.data import SPECIALS, prepare, tokenizer_path, train_tokenizer
from hybrid.training.losses import IGNORED
from hybrid.training.recipe import Recipe, prepared

CPU = torch.device("cpu")


def batches(recipe: Recipe, seed: int = 7, share: tuple[int, int] = (0, 1), tokens: int = 512) -> Batches:
    return Batches(prepared(recipe), recipe.data, tokens, seed, CPU, share)


def rows_of(batch: Batch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(source ids, target ids) of each row, padding removed."""
    return [
        (tuple(s[m.bool()].tolist()), tuple(t[t != IGNORED].tolist()))
        for s, m, t in zip(batch.source, batch.mask, batch.labels, strict=True)
    ]


def stored_rows(recipe: Recipe) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    arrays = np.load(prepared(recipe))
    sides = [
        [tuple(r.tolist()) for r in np.split(arrays[side], arrays[f"{side}_lengths"].cumsum()[:-1])]
        for side in ("source", "target")
    ]
    return list(zip(*sides, strict=True))


def test_unusable_and_excluded_rows_are_left_out(prepared_recipe: Recipe) -> None:
    rows = list(read_corpus(prepared_recipe.data.train[0]))
    assert len(rows) == 150  # of 157: 5 excluded by domain, one empty, one left untranslated
    assert {domain for domain, *_ in rows} == {"made"}
    assert not any(source == target for _, source, target in rows)


def test_training_reads_a_prompt_as_the_product_does(prepared_recipe: Recipe) -> None:
    tokenizer = load_tokenizer(tokenizer_path(prepared_recipe))
    plain = Tokenizer.from_file(str(tokenizer_path(prepared_recipe)))
    pairs = read_corpora(prepared_recipe.data.train, seed=1)
    stored = stored_rows(prepared_recipe)
    assert len(stored) == len(pairs)
    codec = TextCodec(tokenizer, prepared_recipe.data.max_source)
    for pair, (source_ids, target_ids) in zip(pairs, stored, strict=True):
        assert source_ids == codec.encode(pair.task, [pair.source], truncate=True)[0].token_ids
        assert target_ids == (*plain.encode(pair.target).ids, 1)


def test_what_is_written_in_a_corpus_is_text_and_normalized(
    tiny_recipe: Callable[[Path], Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe(tmp_path)
    odd = ("one\u00a0summarize: old </s>", "ein\u00ad summarize:  altes </s>")
    with (tmp_path / "train.tsv").open("a", encoding="utf-8") as corpus:
        corpus.write("made\t" + "\t".join(odd) + "\n")
    prepare(recipe)
    tokenizer = load_tokenizer(tokenizer_path(recipe))
    added = {*tokenizer.backend_tokenizer.get_added_tokens_decoder()}
    texts = {"translate English to German: one summarize: old </s></s>": "ein summarize: altes </s></s>"}
    rows = [row for row in stored_rows(recipe) if tokenizer.decode(row[0]) in texts]
    assert [(tokenizer.decode(source), tokenizer.decode(target)) for source, target in rows] == [
        *texts.items()
    ]
    assert [len(added & set(source)) for source, _ in rows] == [2]  # the task and the end
    assert [len(added & set(target)) for _, target in rows] == [1]


def test_long_sources_are_cut_and_long_targets_left_out(
    tiny_recipe: Callable[[Path], Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe(tmp_path)
    long = " ".join(str(n) for n in range(40))
    with (tmp_path / "train.tsv").open("a", encoding="utf-8") as corpus:
        corpus.write(f"made\t{long}\tkurz\nmade\tshort\t{long}\n")
    prepare(recipe)
    stored = stored_rows(recipe)
    assert len(stored) == 150 + 60 + 1
    lengths = [len(source) for source, _ in stored]
    assert max(lengths) == 48
    cut = stored[lengths.index(48)][0]
    assert cut[-1] == 1


def test_preparing_twice_keeps_the_first(tiny_recipe: Callable[[Path], Recipe], tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path)
    prepare(recipe)
    before = prepared(recipe).read_bytes()
    (tmp_path / "train.tsv").write_text("made\tother\tanders\n", "utf-8")
    prepare(recipe)
    assert prepared(recipe).read_bytes() == before


def test_shapes_are_those_of_the_buckets_and_padding_is_marked(prepared_recipe: Recipe) -> None:
    served = batches(prepared_recipe)
    shapes = {(b.source.shape, b.labels.shape) for b in served.epoch(0)}
    assert len(shapes) == 2
    assert {(s[1], t[1]) for s, t in shapes} == set(prepared_recipe.data.buckets)
    assert all(s[0] == t[0] and s[0] * (s[1] + t[1]) <= 8 * 80 for s, t in shapes)
    for batch in served.epoch(0):
        lengths = batch.mask.sum(1, keepdim=True)
        assert torch.equal(batch.mask, (torch.arange(batch.mask.shape[1]) < lengths).long())
        assert torch.equal(batch.source == 0, batch.mask == 0)
        assert (batch.source.gather(1, lengths - 1) == 1).all()  # ends with </s>
        scored = batch.labels != IGNORED
        ends = scored.sum(1, keepdim=True)
        assert torch.equal(scored, torch.arange(scored.shape[1]) < ends)
        assert (batch.labels.gather(1, ends - 1) == 1).all()


def test_an_epoch_serves_stored_examples_at_most_once(prepared_recipe: Recipe) -> None:
    served = batches(prepared_recipe)
    stored = Counter(stored_rows(prepared_recipe))
    for epoch in (0, 1):
        seen = Counter(row for batch in served.epoch(epoch) for row in rows_of(batch))
        assert seen <= stored
        assert seen.total() > 0.8 * stored.total()


def test_batch_k_depends_on_seed_and_k_alone(prepared_recipe: Recipe) -> None:
    stream, same, reseeded = (batches(prepared_recipe, seed=s) for s in (7, 7, 8))
    per_epoch = stream.steps_per_epoch
    steps = [0, 3, per_epoch, 2 * per_epoch + 1]
    first = {k: stream[k] for k in steps}
    for k in reversed(steps):  # asked in another order
        assert torch.equal(same[k].source, first[k].source)
        assert torch.equal(same[k].labels, first[k].labels)
    assert any(rows_of(reseeded[k]) != rows_of(stream[k]) for k in steps)
    epochs = [[rows_of(b) for b in stream.epoch(n)] for n in (0, 1)]
    assert epochs[0] != epochs[1]


def test_two_processes_share_the_global_batch(prepared_recipe: Recipe) -> None:
    shares = [batches(prepared_recipe, share=(rank, 2), tokens=1280) for rank in (0, 1)]
    alone = batches(prepared_recipe, share=(0, 1), tokens=1280)
    assert shares[0].steps_per_epoch == shares[1].steps_per_epoch
    seen: Counter = Counter()
    for left, right in zip(shares[0].epoch(0), shares[1].epoch(0), strict=True):
        assert left.source.shape == right.source.shape
        assert left.labels.shape == right.labels.shape
        seen.update(rows_of(left) + rows_of(right))
    assert seen <= Counter(stored_rows(prepared_recipe))
    assert shares[0].rows == alone.rows
    for k in range(alone.steps_per_epoch):
        assert Counter(rows_of(shares[0][k]) + rows_of(shares[1][k])) == Counter(rows_of(alone[k]))


def test_examples_show_every_shape_once_the_most_lopsided_first(prepared_recipe: Recipe) -> None:
    shapes = [(b.source.shape[1], b.labels.shape[1]) for b in batches(prepared_recipe).examples()]
    assert shapes == [(48, 32), (10, 10)]


def test_nothing_to_train_on_is_said(
    prepared_recipe: Recipe, tiny_recipe: Callable[[Path], Recipe], tmp_path: Path
) -> None:
    narrow = dataclasses.replace(prepared_recipe.data, buckets=((2, 2),))
    with pytest.raises(RecipeError, match=r"No example of .*train\.npz fits the recipe's buckets"):
        Batches(prepared(prepared_recipe), narrow, 512, 7, CPU)
    recipe = tiny_recipe(tmp_path)
    (tmp_path / "dev.tsv").write_text("", "utf-8")
    with pytest.raises(RecipeError, match=r"no usable example for .*dev\.npz"):
        prepare(recipe)
    assert not prepared(recipe).exists()


TEXTS = [
    "The committee agreed that the new bridge should be opened before winter 2024.",
    "Das Haus am Fluss ist alt und groß; viele Leute wohnen dort seit 1999.",
    "She said nothing, took her coat and walked through the rain to the station.",
]
PREFIXES = [task.prefix for task in TASKS.values()]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS * 3, 320, PREFIXES)


def test_size_and_special_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.get_vocab_size() == 320
    assert [tokenizer.token_to_id(token) for token in SPECIALS] == [0, 1, 2]
    assert SPECIALS == ("<pad>", "</s>", "<unk>")


@pytest.mark.parametrize(
    "text", [*TEXTS, "Ünïcödé – „Zitat“ 漢字 🚂", "two  spaces\tand\nlines", "x=3.14159"]
)
def test_every_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    encoding = tokenizer.encode(text)
    assert tokenizer.decode(encoding.ids) == text
    assert 2 not in encoding.ids


def test_digits_stand_alone(tokenizer: Tokenizer) -> None:
    digits = [token for token in tokenizer.encode("2024 1999").tokens if any(c.isdigit() for c in token)]
    assert digits == list("20241999")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_a_prefix_is_one_token(tokenizer: Tokenizer, task) -> None:
    encoding = tokenizer.encode(task.prefix + "The rain")
    assert encoding.tokens[0] == task.prefix.rstrip()
    assert tokenizer.decode(encoding.ids[1:]) == " The rain"


def test_it_is_the_same_every_time() -> None:
    assert train_tokenizer(TEXTS, 300, PREFIXES).to_str() == train_tokenizer(TEXTS, 300, PREFIXES).to_str()


PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12], [13, 14], [15]]


def test_every_prompt_comes_once_the_shortest_first_padded_to_the_longest_of_its_batch() -> None:
    batches = list(by_length(PROMPTS, lambda _: 2))
    assert [places for places, _ in batches] == [[1, 4], [3, 0], [2]]
    assert [ids.tolist() for _, ids in batches] == [[[8], [15]], [[13, 14, 0], [5, 6, 7]], [[9, 10, 11, 12]]]


def test_the_size_of_a_batch_follows_its_shortest_prompt() -> None:
    batches = by_length(PROMPTS, {1: 3, 3: 1, 4: 1}.__getitem__)
    assert [places for places, _ in batches] == [[1, 4, 3], [0], [2]]


def test_no_prompt_gives_no_batch() -> None:
    assert list(by_length([], lambda _: 1)) == []


def test_padding_is_zero_at_the_end() -> None:
    assert torch.equal(padded([[1], [2, 3]]), torch.tensor([[1, 0], [2, 3]]))
