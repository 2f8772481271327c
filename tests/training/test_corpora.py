"""How often a row is drawn: limits, weights and temperature."""

from collections import Counter
from pathlib import Path

import pytest

from hybrid.errors import RecipeError
from hybrid.training.corpora import Corpus, read_corpora


@pytest.fixture
def path(tmp_path: Path) -> str:
    file = tmp_path / "rows.tsv"
    rows = [("big", n) for n in range(80)] + [("small", n) for n in range(20)]
    file.write_text("".join(f"{tag}\tone {tag} {n}\tein {tag} {n}\n" for tag, n in rows), "utf-8")
    return str(file)


def shares(*corpora: Corpus, temperature: float = 1.0) -> Counter:
    """How many rows of each source an epoch draws."""
    drawn: Counter = Counter()
    for pair in read_corpora(corpora, 3, temperature):
        drawn[pair.source.split()[1]] += pair.repeats
    return drawn


def test_rows_come_once_where_nothing_is_said(path: str) -> None:
    assert shares(Corpus(path, "summarize")) == {"big": 80, "small": 20}


def test_a_limit_is_of_each_source_and_drawn_by_the_seed(path: str) -> None:
    corpus = Corpus(path, "summarize", limit=30)
    assert shares(corpus) == {"big": 30, "small": 20}
    first, again, other = ([p.source for p in read_corpora([corpus], seed)] for seed in (1, 1, 2))
    assert first == again != other


def test_weights_multiply_rows(path: str) -> None:
    assert shares(Corpus(path, "summarize", weight=2, weights={"small": 3})) == {"big": 160, "small": 120}


def test_a_weight_of_a_source_that_is_not_there_is_refused(path: str) -> None:
    with pytest.raises(RecipeError, match=r"weights smal, .*rows\.tsv.*available: big and small"):
        shares(Corpus(path, "summarize", weights={"smal": 3, "big": 2}))


def test_a_source_whose_rows_are_left_out_is_not_there(path: str) -> None:
    with pytest.raises(RecipeError, match=r"weights small, .*available: big"):
        shares(Corpus(path, "summarize", exclude=("small",), weights={"small": 3}))


@pytest.mark.parametrize(("temperature", "ratio"), [(1.0, 4.0), (2.0, 2.0), (1000.0, 1.0)])
def test_temperature_evens_sources_out_in_an_epoch_as_long(
    path: str, temperature: float, ratio: float
) -> None:
    drawn = shares(Corpus(path, "summarize"), temperature=temperature)
    assert sum(drawn.values()) == pytest.approx(100)
    assert drawn["big"] / drawn["small"] == pytest.approx(ratio, rel=0.01)


def test_one_source_in_two_tables_is_two(path: str) -> None:
    both = (Corpus(path, "summarize"), Corpus(path, "translate-en-de", limit=10))
    assert len({(p.task, p.repeats) for p in read_corpora(both, 3, 2.0)}) == 3
