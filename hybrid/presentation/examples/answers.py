"""Every answer of a run as a row of a table: what figures of single examples are made of."""

import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, methodcaller
from pathlib import Path
from typing import IO, Any, TypeAlias
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid.compare.export import BETWEEN_REFERENCES
from hybrid.measuring import collector_off
from hybrid.metrics import METRICS
from hybrid.metrics.contract import rounded
from hybrid.presentation.runs.disk_cache import cached
from hybrid.schema import PHASES, Example
from hybrid.store import RunReader, run_of
from hybrid.store.record_lines import RecordLine

Say = Callable[[str], None]
Floats = NDArray[np.float64]
Column: TypeAlias = "NDArray[np.int64] | NDArray[np.bool_] | Floats | pd.Series[str]"

_SCORES = tuple(METRICS)
COLUMNS = (
    "example_id", "domain", "system", "repeat", "batch", "position", "prompt_tokens", "output_tokens",
    "finish_reason", "text", "source", "references", "total_ms", "ttft_ms", "tpot_ms",
    *(f"{phase}_ms" for phase in PHASES), *_SCORES, "drafted", "accepted", "block", "disturbed",
)  # fmt: skip
_VERSION = "3"  # of how the columns are computed
_FORMAT = crc32(",".join((*COLUMNS, _VERSION)).encode())  # of what is kept: another metric, another table
_TIMES = ("total_ms", "ttft_ms", "tpot_ms", *(f"{phase}_ms" for phase in PHASES))
_REPEATED = ("domain", "system", "finish_reason")
_SAY_EVERY = 20  # times that some hundred answers are read
_COUNTS = ("repeat", "batch", "position", "prompt_tokens", "output_tokens", "drafted", "accepted", "block")
_OF_ROW: Mapping[str, Callable[[RecordLine], Any]] = {
    **{name: attrgetter(name) for name in _COUNTS if name != "output_tokens"},
    **{name: attrgetter(name) for name in ("system", "text", "disturbed")},
    "example_id": attrgetter("example"),
    "finish_reason": attrgetter("finish"),
    "output_tokens": attrgetter("output_tokens"),
    "first_us": lambda row: row.token_us[0],
    "last_us": lambda row: row.token_us[-1],
    "total_s": lambda row: sum([us / 1e6 for us in row.phases_us.values()]),
}
_OF_PHASES = {phase: methodcaller("get", phase, math.nan) for phase in PHASES}


def read_answers(run_id: str, root: Path | None = None, say: Say = lambda _: None) -> pd.DataFrame:
    """Give the stored answers of a run in the order of measuring, with COLUMNS of `hybrid export --records`.

    Times are in milliseconds, scores are of each answer alone. What is not known is
    NaN, and so are the times of answers in which the process was disturbed.
    attrs["problems"]: a sentence for each thing that is damaged and left out. say:
    is told how far a long run is. Raises StoreError.
    """

    def compute() -> pd.DataFrame:
        with collector_off():  # which finds nothing among 100,000 answers, and takes a quarter of the time
            return _read(run_id, root, say)

    if run_of(run_id, root).finished_at is None:
        return compute()
    return cached(f"answers-{_FORMAT:08x}.feather", run_id, compute, pd.read_feather, _write, root)


def _write(frame: pd.DataFrame, file: IO[bytes]) -> None:
    frame.to_feather(file, compression="lz4")


def _read(run_id: str, root: Path | None, say: Say) -> pd.DataFrame:
    reader = RunReader(run_id, root)
    values: dict[str, list[Any]] = {name: [] for name in (*_OF_ROW, *_OF_PHASES)}
    tables = {name: [METRICS[name].table([])] for name in _SCORES}
    for number, rows in enumerate(reader.rows()):
        for name, of_row in _OF_ROW.items():
            values[name] += map(of_row, rows)
        phases_us = [row.phases_us for row in rows]
        for phase, of_phases in _OF_PHASES.items():
            values[phase] += map(of_phases, phases_us)
        for name, parts in tables.items():
            parts.append(METRICS[name].table([row.statistics.get(name, ()) for row in rows]))
        if number % _SAY_EVERY == 0 and (read := len(values["text"])) < reader.run.planned:
            say(f"Reading {read:,} of {reader.run.planned:,} answers")
    scores = {name: METRICS[name].of_table(np.concatenate(parts)) for name, parts in tables.items()}
    places = {example.id: place for place, example in enumerate(reader.examples)}
    of_examples = _of_examples(reader.examples).take([places[name] for name in values["example_id"]])
    answers = pd.DataFrame(_columns(values) | scores)
    frame = pd.concat([answers, of_examples.reset_index(drop=True)], axis="columns")[list(COLUMNS)]
    batches = frame.loc[frame["disturbed"], "position"]  # whose answers share what has disturbed one
    frame.loc[frame["position"].isin(batches), list(_TIMES)] = math.nan
    frame = frame.astype(dict.fromkeys(_REPEATED, "category"))
    frame.attrs["problems"] = list(reader.problems)
    return frame


def _of_examples(examples: Sequence[Example]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "example_id": _texts([example.id for example in examples]),
            "domain": _texts([example.domain for example in examples]),
            "source": _texts([example.source for example in examples]),
            "references": _texts([BETWEEN_REFERENCES.join(example.references) for example in examples]),
        }
    )


def _columns(values: Mapping[str, list[Any]]) -> dict[str, Column]:
    """Give the values of rows by column, as hybrid.compare.export writes them."""
    tokens = np.array(values["output_tokens"], dtype=np.int64)
    first, last = (np.array(values[name], dtype=np.float64) / 1e6 for name in ("first_us", "last_us"))
    between = np.full(len(tokens), math.nan)  # as Timing has it: none where there is one token
    np.divide(last - first, tokens - 1, out=between, where=tokens > 1)
    seconds = {
        "total_ms": np.array(values["total_s"], dtype=np.float64),
        "ttft_ms": first,
        "tpot_ms": between,
    }
    for phase in PHASES:
        seconds[f"{phase}_ms"] = np.array(values[phase], dtype=np.float64) / 1e6
    return {
        **{name: np.array(values[name], dtype=np.int64) for name in _COUNTS},
        "disturbed": np.array(values["disturbed"], dtype=np.bool_),
        **{name: _texts(values[name]) for name in ("system", "finish_reason", "text")},
        **{name: rounded(1000 * of_each) for name, of_each in seconds.items()},
    }


def _texts(values: Sequence[str]) -> "pd.Series[str]":
    return pd.Series([_storable(str(value)) for value in values], dtype="str")


def _storable(text: str) -> str:
    """Half a surrogate pair has no UTF-8: it is written as \\udc80 or the like."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
