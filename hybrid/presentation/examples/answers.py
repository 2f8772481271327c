"""Every answer of a run as a row of a table: what figures of single examples are made of."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hybrid.compare.export import BETWEEN_REFERENCES
from hybrid.measuring import collector_off
from hybrid.metrics import METRICS
from hybrid.presentation.runs.disk_cache import cached
from hybrid.schema import PHASES, Example, Record
from hybrid.store import RunReader, run_of

Say = Callable[[str], None]
Floats = NDArray[np.float64]
Columns = Mapping[str, "NDArray[np.int64] | NDArray[np.bool_] | Floats | pd.Series[str]"]

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
_SAY_EVERY = 2000  # records, that are read at once


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
    places = {example.id: place for place, example in enumerate(reader.examples)}
    parts = [pd.DataFrame(_columns([], places))]  # so that a run without answers has its columns, too
    records, read = reader.records(), 0
    while chunk := list(islice(records, _SAY_EVERY)):
        parts.append(pd.DataFrame(_columns(chunk, places)))
        read += len(chunk)
        if read < reader.run.planned:
            say(f"Reading {read:,} of {reader.run.planned:,} answers")
    frame = pd.concat(parts[1:] or parts, ignore_index=True)
    of_examples = pd.DataFrame(_of_examples(reader.examples)).take(frame.pop("place").to_numpy())
    frame = pd.concat([frame, of_examples.reset_index(drop=True)], axis="columns")[list(COLUMNS)]
    batches = frame.loc[frame["disturbed"], "position"]  # whose answers share what has disturbed one
    frame.loc[frame["position"].isin(batches), list(_TIMES)] = math.nan
    frame = frame.astype(dict.fromkeys(_REPEATED, "category"))
    frame.attrs["problems"] = list(reader.problems)
    return frame


def _of_examples(examples: Sequence[Example]) -> Columns:
    return {
        "example_id": _texts([example.id for example in examples]),
        "domain": _texts([example.domain for example in examples]),
        "source": _texts([example.source for example in examples]),
        "references": _texts([BETWEEN_REFERENCES.join(example.references) for example in examples]),
    }


def _columns(chunk: Sequence[Record], places: Mapping[str, int]) -> Columns:
    """Give records by column, as hybrid.compare.export writes them, and each one's example."""
    generations = [record.generation for record in chunk]
    timings = [generation.timing for generation in generations]
    statistics = [record.statistics for record in chunk]
    whole = {
        "place": [places[record.example_id] for record in chunk],
        "repeat": [record.repeat for record in chunk],
        "batch": [record.batch for record in chunk],
        "position": [record.position for record in chunk],
        "prompt_tokens": [generation.prompt_tokens for generation in generations],
        "output_tokens": [len(generation.token_ids) for generation in generations],
        "drafted": [generation.drafted for generation in generations],
        "accepted": [generation.accepted for generation in generations],
        "block": [record.block for record in chunk],
    }
    return {
        **{name: np.array(values, dtype=np.int64) for name, values in whole.items()},
        "disturbed": np.array([timing.disturbed for timing in timings], dtype=np.bool_),
        "system": _texts([generation.system for generation in generations]),
        "finish_reason": _texts([generation.finish_reason for generation in generations]),
        "text": _texts([generation.text for generation in generations]),
        "total_ms": _milliseconds([timing.total_s for timing in timings]),
        "ttft_ms": _milliseconds([timing.ttft_s for timing in timings]),
        "tpot_ms": _milliseconds([timing.tpot_s for timing in timings]),
        **{
            f"{phase}_ms": _milliseconds([timing.phases.get(phase, math.nan) for timing in timings])
            for phase in PHASES
        },
        **{name: METRICS[name].of_each([row.get(name, ()) for row in statistics]) for name in _SCORES},
    }


def _milliseconds(seconds: Sequence[float | None]) -> Floats:
    """To 4 decimals, as round() does it: numpy's differs where a value lies in the middle. None is NaN."""
    values = 1000 * np.array(seconds, dtype=np.float64)
    rounded = np.round(values, 4)
    middles = np.flatnonzero(np.abs(np.abs(values - rounded) - 5e-5) < 1e-9)
    rounded[middles] = [round(value, 4) for value in values[middles].tolist()]
    return rounded


def _texts(values: Sequence[str]) -> "pd.Series[str]":
    return pd.Series([_storable(str(value)) for value in values], dtype="str")


def _storable(text: str) -> str:
    """Half a surrogate pair has no UTF-8: it is written as \\udc80 or the like."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")
