"""Test sets of machine translation, through sacrebleu's own data sets and its cache (SACREBLEU)."""

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from errno import ENOENT
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError

from hybrid.errors import SuiteError
from hybrid.schema import Example, Suite
from hybrid.suites import refuse_columns, stated_task, task_of_languages, unreachable
from hybrid.suites.rows import checked, without_controls

if TYPE_CHECKING:
    from sacrebleu.dataset.base import Dataset

TIMEOUT_S = 10.0


def load(address: str, task: str | None, columns: Mapping[str, str] | None) -> Suite:
    """Load the suite `sacrebleu:SET/PAIR`, as wmt20/en-de, with all its references. Raises SuiteError."""
    name = f"sacrebleu:{address}"
    refuse_columns(name, columns)
    dataset, test_set, pair = _find(address)
    source, _, target = pair.partition("-")
    chosen = stated_task(name, task_of_languages(name, source, target), task)
    if pair not in dataset.langpairs:
        raise SuiteError(f"sacrebleu's {test_set} has no {pair}; available: {', '.join(dataset.langpairs)}.")
    with _fetching(name, dataset):
        sources, domains, *references = _columns(dataset, pair)
    placed = (
        (f"{name}, segment {example.id}", example)
        for example in _examples(sources, domains, references, test_set)
    )
    return Suite(name, chosen, _licence(dataset), checked(placed, name))


def _find(address: str) -> tuple["Dataset", str, str]:
    """Find the data set that SET/PAIR names, SET and PAIR; names of sets have slashes too."""
    from sacrebleu.dataset import DATASETS

    test_set, _, pair = address.rpartition("/")
    if address in DATASETS:
        raise SuiteError(
            f"sacrebleu:{address} names no languages; add them, as in sacrebleu:{address}/en-de."
        )
    if test_set not in DATASETS:
        name = test_set or address
        close = get_close_matches(name, DATASETS, n=5, cutoff=0.5) or list(DATASETS)[:5]
        raise SuiteError(
            f"sacrebleu has no test set {name!r}, but for example {', '.join(close)}; "
            "write sacrebleu:SET/PAIR, as in sacrebleu:wmt20/en-de."
        )
    return DATASETS[test_set], test_set, pair


def _columns(dataset: "Dataset", pair: str) -> list[list[str]]:
    """Lines of the source, of the domain and of each reference. Raises what network and disk raise."""
    files = dict(zip(dataset.fieldnames(pair), dataset.get_files(pair), strict=True))
    sources = _read_lines(files["src"])
    domain_file = files.get("domain") or files.get("genre")
    domains = _read_lines(domain_file) if domain_file else [""] * len(sources)
    # Sorted: sacrebleu keeps the translators of an XML file in a set, whose order changes from run to run.
    references = sorted(dataset.get_reference_files(pair))
    columns = [sources, domains, *map(_read_lines, references)]
    if len({len(lines) for lines in columns}) > 1:
        raise ValueError(f"its files have {', '.join(str(len(lines)) for lines in columns)} lines")
    return columns


def _read_lines(path: str) -> list[str]:
    # Not splitlines(), which also splits at characters that occur within a segment.
    text = Path(path).read_bytes().decode("utf-8")
    return text.removesuffix("\n").split("\n") if text else []


def _examples(
    sources: list[str], domains: list[str], references: list[list[str]], test_set: str
) -> Iterator[Example]:
    rows = zip(sources, domains, zip(*references, strict=True), strict=True)
    for number, (source, domain, targets) in enumerate(rows, start=1):
        # Some sets leave single segments without one of their references, or without any.
        texts = tuple(without_controls(text).strip() for text in targets if text.strip())
        if texts and source.strip():
            yield Example(str(number), domain.strip() or test_set, without_controls(source).strip(), texts)


def _licence(dataset: "Dataset") -> str:
    """sacrebleu states no licences, but what a set is and, for some, what to cite."""
    citation = (dataset.citation or "").partition("{")[2].partition(",")[0].strip()
    stated = (dataset.description or dataset.name).strip().rstrip(".")
    return f"not stated by sacrebleu ({stated}" + (f"; cite {citation})" if citation else ")")


@contextmanager
def _fetching(name: str, dataset: "Dataset") -> Iterator[None]:
    """Turn what a download can raise into SuiteError, and keep a silent host from hanging it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # sacrebleu sets none and takes none
    try:
        yield
    except URLError as error:
        raise unreachable(name, error if isinstance(error, HTTPError) else error.reason) from error
    except (TimeoutError, ConnectionError, HTTPException) as error:
        raise unreachable(name, error) from error
    except SystemExit as error:  # how sacrebleu reports a wrong checksum
        raise _damaged(name, dataset, "what came is not what sacrebleu expects") from error
    except Exception as error:  # the unpackers and parsers below sacrebleu raise what they like
        if isinstance(error, OSError) and error.errno not in (None, ENOENT):
            raise SuiteError(
                f"{name} cannot be kept in {dataset._outdir} ({error.strerror}); "
                "name another folder in the variable SACREBLEU."
            ) from error
        raise _damaged(name, dataset, str(error) or type(error).__name__) from error
    finally:
        socket.setdefaulttimeout(before)


def _damaged(name: str, dataset: "Dataset", reason: str) -> SuiteError:
    return SuiteError(
        f"sacrebleu's copy of {name} cannot be used ({reason.splitlines()[0]}); "
        f"delete the folder {dataset._outdir} and try again."
    )
