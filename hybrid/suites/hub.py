"""Data sets of the Hugging Face Hub, read row by row; no code of theirs is ever run."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hybrid.errors import SuiteError
from hybrid.schema import Example, Suite
from hybrid.suites import required_task, unreachable
from hybrid.suites.rows import Row, RowError, check_columns, checked, to_example, without_controls

TIMEOUT_S = 10.0
MAX_EXAMPLES = 100_000  # of a split that may have any number

_SPLIT = re.compile(r"([\w.-]+)(?:\[:(\d+)\])?")


@dataclass(frozen=True)
class _Address:
    """DATASET:CONFIG:SPLIT. first: how many rows SPLIT[:N] asks for; None for all."""

    name: str
    dataset: str
    config: str
    split: str
    first: int | None


def load(address: str, task: str | None, columns: Mapping[str, str] | None) -> Suite:
    """Load the suite `hf:DATASET:CONFIG:SPLIT` or `hf:DATASET:CONFIG:SPLIT[:N]`. Raises SuiteError.

    An empty CONFIG is the default one. See `rows.to_example` for the columns.
    """
    parsed = _parse(address)
    check_columns(columns)
    chosen = required_task(parsed.name, task)
    try:
        import datasets  # noqa: F401  # tried here, so that what is missing is said before the network is
    except ImportError as error:
        raise SuiteError(
            f"{parsed.name} needs the package datasets: pip install 'hybrid-bench[hub]'."
        ) from error
    licence = _licence(parsed)
    return Suite(parsed.name, chosen, licence, checked(_examples(parsed, columns), parsed.name))


def _parse(address: str) -> _Address:
    dataset, config, split = (*address.split(":", 2), "", "")[:3]
    match = _SPLIT.fullmatch(split)
    if not dataset or match is None:
        raise SuiteError(
            f"hf:{address} is not a name like hf:DATASET:CONFIG:SPLIT; "
            "CONFIG may be empty, and SPLIT[:N] takes the first N rows."
        )
    first = int(match[2]) if match[2] else None
    return _Address(f"hf:{address}", dataset, config, match[1], first)


def _licence(address: _Address) -> str:
    """Ask what the data set's card states, and so, in one short request, whether the data set is there."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    page = f"https://huggingface.co/datasets/{address.dataset}"
    try:
        card = HfApi().dataset_info(address.dataset, timeout=TIMEOUT_S).card_data
    except GatedRepoError as error:
        raise SuiteError(
            f"{address.name} is open only to those who were granted access: ask at {page} and run "
            "`hf auth login`."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise SuiteError(
            f"The Hub has no data set {address.dataset!r}, or keeps it private; names are like owner/name."
        ) from error
    except Exception as error:  # the HTTP client below huggingface_hub differs between its versions
        raise unreachable(address.name, error) from error
    stated = card.get("license") if card else None
    return ", ".join(stated) if isinstance(stated, list) else stated or f"see {page}"


def _examples(address: _Address, columns: Mapping[str, str] | None) -> Iterator[tuple[str, Example]]:
    for index, row in enumerate(_rows(address)):
        if index == address.first:
            return
        if index == MAX_EXAMPLES:
            raise SuiteError(
                f"{address.name} has more than {MAX_EXAMPLES:,} rows; "
                f"take the first N of them with {address.split}[:N]."
            )
        place = f"{address.name}, row {index}"
        try:
            example = to_example(row, columns, str(index))
        except RowError as error:
            raise SuiteError(f"{place}: {error}.") from error
        texts = tuple(map(without_controls, example.references))
        yield place, replace(example, source=without_controls(example.source), references=texts)


def _rows(address: _Address) -> Iterator[Row]:
    """Streamed: a split is read without downloading the others."""
    from datasets import load_dataset

    try:
        rows: Iterable[Row] = load_dataset(
            address.dataset, address.config or None, split=address.split, streaming=True
        )
        yield from rows
    except Exception as error:  # the file systems and parsers below datasets raise what they like
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SuiteError(f"{address.name} cannot be read: {first.rstrip('.')}.") from error
