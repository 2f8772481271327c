"""What a recipe reads: tables of examples, how often a row of each is drawn, and the shapes of batches."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from hybrid.errors import RecipeError
from hybrid.format import listed
from hybrid.schema.texts import normalized
from hybrid.suites.files import file_name, files_of, read_examples

# Bounds keep a number within what it counts; train.check_memory() says what of that a machine holds.
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]  # what a tensor's dimension can be
Length = Annotated[int, Meta(ge=2, le=2**16 - 1)]  # tokens, the end included; 16 bits in the prepared data
ROW_TOKENS = 512
Weight = Annotated[float, Meta(gt=0, le=1000)]
Share = Annotated[float, Meta(ge=0, le=1)]
MOST_NAMED = 20  # sources in a message
PartialShare = Annotated[float, Meta(ge=0, lt=1)]


@dataclass(frozen=True)
class Corpus:
    """One table of examples.

    path: any that suites are read from, see suites/files.py; relative to the working
        directory. Files of a text a line stand side by side: SOURCES,TARGETS.
    exclude: domains whose rows are left out.
    columns: role to column name or number, where the table does not say them.
    limit: rows of a source at the most, drawn at random. A source is a domain up to its first colon.
    weight: how often a row is drawn in an epoch, on average; weights: the same of single sources.
    """

    path: str
    task: str
    exclude: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    limit: Count | None = None
    weight: Weight = 1.0
    weights: Mapping[str, Weight] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_path("path", self.path)

    @property
    def files(self) -> tuple[Path, ...]:
        """Where it lies."""
        return tuple(files_of(self.path))


@dataclass(frozen=True)
class Data:
    """What is read, and the fixed shapes it is sorted into.

    buckets: (source, target) lengths in tokens, ends of sequence included; an
        example goes to the first it fits, and is left out where it fits none.
    max_source: longer sources are cut to this many tokens; it is also the
        longest prompt that the finished models accept.
    row_tokens: of a decoder-only model's batches: a row is filled with several examples; ROW_TOKENS, or
        what the model reads where that is less, when None.
    temperature: T of a source's share in an epoch, n^(1/T) for n rows: 1 takes rows as
        they are, a higher one evens sources out (Arivazhagan et al. 2019, arXiv 1907.05019).
    """

    train: Annotated[tuple[Corpus, ...], Meta(min_length=1)]
    dev: Annotated[tuple[Corpus, ...], Meta(min_length=1)]
    buckets: Annotated[tuple[tuple[Length, Length], ...], Meta(min_length=1)]
    max_source: Annotated[int, Meta(ge=3, le=2**16 - 1)] = 512  # a prefix, a word and the end
    row_tokens: Annotated[int, Meta(ge=16, le=2**16)] | None = None
    temperature: Annotated[float, Meta(ge=1, le=1000)] = 1.0


@dataclass(frozen=True)
class Pair:
    """One example as text. repeats: how often an epoch draws it, on average.

    file: its corpus, without folders. origin: its source there, where it comes from.
    """

    task: str
    source: str
    target: str
    repeats: float = 1.0
    file: str = ""
    origin: str = ""


def read_corpora(corpora: Sequence[Corpus], seed: int, temperature: float = 1.0) -> list[Pair]:
    """Read the usable rows of all corpora, with how often each is drawn.

    Raises RecipeError for a weight of a source that no usable row is from: a slip that nobody would notice.
    """
    rows = [(number, *row) for number, corpus in enumerate(corpora) for row in _limited(corpus, seed)]
    sizes = Counter((number, source) for number, source, *_ in rows)
    for number, corpus in enumerate(corpora):
        _check_weights(corpus, [source for of, source in sizes if of == number])
    evened = {key: count ** (1 / temperature) for key, count in sizes.items()}
    scale = len(rows) / max(sum(evened.values()), 1.0)  # an epoch stays as long as the corpora
    files = [file_name(corpus.path) for corpus in corpora]
    pairs = []
    for number, source, text, target in rows:
        corpus, key = corpora[number], (number, source)
        weight = corpus.weight * corpus.weights.get(source, 1.0)
        repeats = weight * scale * evened[key] / sizes[key]
        pairs.append(Pair(corpus.task, text, target, repeats, files[number], source))
    return pairs


def _check_weights(corpus: Corpus, sources: Sequence[str]) -> None:
    if unknown := [source for source in corpus.weights if source not in sources]:
        raise RecipeError(
            f"The recipe weights {listed(unknown, MOST_NAMED)}, of which {corpus.path} has no usable row; "
            f"available: {listed(sorted(sources), MOST_NAMED) or 'none'}."
        )


def read_corpus(corpus: Corpus) -> Iterator[tuple[str, str, str]]:
    """Yield source (where it comes from), text and first reference of the usable examples of one table."""
    for example in read_examples(corpus.path, corpus.columns or None):
        target = example.references[0]
        if example.domain not in corpus.exclude and _is_usable(example.source, target):
            yield example.domain.partition(":")[0], example.source, target


def check_path(key: str, value: str) -> None:
    """Raise ValueError for what is no path."""
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{key} is {value[:80]!r}; give a path without control characters")
    try:
        Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{key} is {value[:80]!r}, and there is no such home folder") from error


def _limited(corpus: Corpus, seed: int) -> list[tuple[str, str, str]]:
    rows = list(read_corpus(corpus))
    if corpus.limit is None:
        return rows
    counts: Counter[str] = Counter()
    chosen = []
    for place in random.Random(seed).sample(range(len(rows)), len(rows)):
        counts[rows[place][0]] += 1
        if counts[rows[place][0]] <= corpus.limit:
            chosen.append(place)
    return [rows[place] for place in sorted(chosen)]


def _is_usable(source: str, target: str) -> bool:
    """Neither empty nor left untranslated."""
    if not normalized(source) or not normalized(target):
        return False
    return source != target or len(source.split()) < 4
