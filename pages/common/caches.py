"""What pages read and compute, kept by the server for all visitors while the files stay the same.

By stamp: what was written to is read anew. Nothing that is returned may be changed: it is everyone's.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from hybrid.compare import Comparison, compare_runs
from hybrid.errors import StoreError
from hybrid.presentation.claims import ClaimRow, claim_rows, claims_stamp
from hybrid.presentation.examples.answers import read_answers
from hybrid.presentation.examples.arrangement import Examples, arrange
from hybrid.presentation.pairings.cells import PairCell, pair_cells
from hybrid.presentation.pairings.measured import MeasuredPairs, error_sentence
from hybrid.presentation.pairings.measured import measured_pairs as read_pairs
from hybrid.presentation.pairings.sources import Device, Sources, sources_stamp
from hybrid.presentation.pairings.sources import sources as read_sources
from hybrid.presentation.runs.catalog import Catalog, Entry
from hybrid.presentation.runs.catalog import catalog as read_catalog
from hybrid.presentation.runs.digest import RunDigest, run_digest
from hybrid.presentation.tradeoffs.results import Tradeoffs
from hybrid.presentation.tradeoffs.results import tradeoffs as read_tradeoffs
from hybrid.schema import Run, System
from hybrid.sizing import Request
from hybrid.store import StoredRun, load_run, results_fingerprint, run_fingerprint
from pages.common.notes import note
from pages.common.work import Report, Say, Work

READING = "Reading the answers"
Compared = tuple[Comparison, tuple[Run, ...]]  # a comparison and its runs


def catalog() -> Catalog:
    """Return all stored runs; the page ends with a sentence when they cannot be read."""
    try:
        return _catalog(results_fingerprint())
    except StoreError as error:
        note(str(error), "error")
        st.stop()


def claims() -> tuple[ClaimRow, ...]:
    """Return what the claims beside the stored runs come to; where they cannot be read, a note says why."""
    try:
        return _claims(results_fingerprint(), claims_stamp())
    except StoreError as error:
        note(str(error), "error")
        return ()


def digest(run_id: str) -> RunDigest:
    """Return rows, verdicts and warnings of a run. Raises StoreError."""
    return _digest(run_id, run_fingerprint(run_id))


def answers(run_id: str, say: Say = lambda _: None) -> pd.DataFrame:
    """Return every answer of a run. Raises StoreError."""
    key = run_id, run_fingerprint(run_id)
    return _answers(*key).result(say, lambda: _answers.clear(*key))


def tradeoffs(run_id: str, say: Say = lambda _: None) -> Tradeoffs:
    """Return latencies, phases and speed-ups by length of a run. Raises StoreError."""
    key = run_id, run_fingerprint(run_id)
    return _tradeoffs(*key).result(say, lambda: _tradeoffs.clear(*key))


def examples(entry: Entry, say: Say) -> Examples:
    """Return a run by example; `say` is told how far the reading is. Raises StoreError."""
    key = entry.run_id, run_fingerprint(entry.run_id), entry.systems
    return _examples(*key).result(say, lambda: _examples.clear(*key))


def compared(run_ids: Sequence[str], baseline: str) -> Compared:
    """Compare stored runs. Raises HybridError."""
    return _compared(tuple(run_ids), tuple(map(run_fingerprint, run_ids)), baseline)


def sources() -> Sources:
    """Return devices and shapes; the page ends with a sentence when the folder cannot be read."""
    try:
        return _sources(sources_stamp())
    except StoreError as error:
        note(str(error), "error")
        st.stop()


def measured_pairs(device: Device) -> MeasuredPairs:
    """Return what the device's grids have."""
    return _measured_pairs(sources_stamp(), device.name, device)


def prediction_error(device: Device) -> str:
    """Say how far the device's predictions are off."""
    return _prediction_error(sources_stamp(), device.name, device)


def cells(
    device: Device, llms: tuple[str, ...], slms: tuple[str, ...], request: Request
) -> tuple[PairCell, ...]:
    """Return the map's cells. llms, slms: names of known shapes."""
    return _cells(sources_stamp(), device.name, llms, slms, request, device)


@st.cache_resource(show_spinner=False, max_entries=4)
def _catalog(stamp: str) -> Catalog:
    return read_catalog()


@st.cache_resource(show_spinner=False, max_entries=4)
def _claims(stamp: str, files: tuple[tuple[str, int], ...]) -> tuple[ClaimRow, ...]:
    return tuple(claim_rows())


@st.cache_resource(show_spinner=False, max_entries=512)
def _digest(run_id: str, stamp: str) -> RunDigest:
    return run_digest(run_id)


@st.cache_resource(show_spinner=False, max_entries=8)
def _answers(run_id: str, stamp: str) -> Work[pd.DataFrame]:
    return Work(lambda say: read_answers(run_id, say=say), READING)


@st.cache_resource(show_spinner=False, max_entries=64)
def _tradeoffs(run_id: str, stamp: str) -> Work[Tradeoffs]:
    def read(say: Report) -> Tradeoffs:
        return read_tradeoffs(run_id, answers=lambda: answers(run_id, say))

    return Work(read, READING)


@st.cache_resource(show_spinner=False, max_entries=4)
def _examples(run_id: str, stamp: str, systems: tuple[System, ...]) -> Work[Examples]:
    return Work(lambda say: arrange(answers(run_id, say), systems), READING)


@st.cache_resource(show_spinner=False, max_entries=4)
def _stored(run_id: str, stamp: str) -> StoredRun:
    return load_run(run_id)


@st.cache_resource(show_spinner=False, max_entries=32)
def _compared(run_ids: tuple[str, ...], stamps: tuple[str, ...], baseline: str) -> Compared:
    stored = [_stored(run_id, stamp) for run_id, stamp in zip(run_ids, stamps, strict=True)]
    return compare_runs(stored, baseline), tuple(stored_run.run for stored_run in stored)


@st.cache_resource(show_spinner=False, max_entries=2)
def _sources(stamp: str) -> Sources:
    return read_sources()


@st.cache_resource(show_spinner=False, max_entries=16)
def _measured_pairs(stamp: str, name: str, _device: Device) -> MeasuredPairs:
    return read_pairs(_device, _sources(stamp).shapes)


@st.cache_resource(show_spinner=False, max_entries=16)
def _prediction_error(stamp: str, name: str, _device: Device) -> str:
    return error_sentence(_device, _measured_pairs(stamp, name, _device))


@st.cache_resource(show_spinner=False, max_entries=256)
def _cells(
    stamp: str,
    name: str,
    llms: tuple[str, ...],
    slms: tuple[str, ...],
    request: Request,
    _device: Device,
) -> tuple[PairCell, ...]:
    shapes, measured = _sources(stamp).shapes, _measured_pairs(stamp, name, _device)
    return pair_cells(
        _device, measured, [shapes[name] for name in llms], [shapes[name] for name in slms], request
    )
