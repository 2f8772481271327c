"""What pages read of stored runs, kept by the server for all visitors while the files stay the same."""

from typing import Any

import pandas as pd
import streamlit as st

from hybrid.errors import StoreError
from hybrid.presentation.views.answers import answers as read_answers
from hybrid.presentation.views.catalog import Catalog
from hybrid.presentation.views.catalog import catalog as read_catalog
from hybrid.presentation.views.digest import Digest
from hybrid.presentation.views.digest import digest as read_digest
from hybrid.presentation.views.tradeoffs.measured import Tradeoffs
from hybrid.presentation.views.tradeoffs.measured import tradeoffs as read_tradeoffs
from hybrid.store import StoredRun, load_run, results_fingerprint, run_fingerprint
from pages.common.notes import note, notes
from pages.common.work import Say, Work

MAKE_ONE = "There are no runs yet. Measure one on the Benchmark page, or with `hybrid bench everyday-en-de`."


def catalog() -> Catalog:
    """All stored runs; the page ends with a sentence when they cannot be read."""
    try:
        return _catalog(results_fingerprint())
    except StoreError as error:
        note(str(error), "error")
        st.stop()


def digest(run_id: str) -> Digest:
    """Rows, verdicts and warnings of a run. Raises StoreError."""
    return _digest(run_id, run_fingerprint(run_id))


def answers(run_id: str, say: Say = lambda _: None) -> pd.DataFrame:
    """Every answer of a run; never change the table, it is everyone's. Raises StoreError."""
    return _watched(_answers, run_id, say)


def tradeoffs(run_id: str, say: Say = lambda _: None) -> Tradeoffs:
    """Latencies, phases and speed-ups by length of a run. Raises StoreError."""
    return _watched(_tradeoffs, run_id, say)


def stored(run_id: str) -> StoredRun:
    """The whole run, for what needs more than the above. Raises StoreError."""
    return _stored(run_id, run_fingerprint(run_id))


def problems(found: Catalog) -> None:
    """What is damaged in the results folder, on the page."""
    notes(found.problems, "warning")


def _watched(read: Any, run_id: str, say: Say) -> Any:
    """What a cached `read` below came to; the next visitor tries again when it failed."""
    stamp = run_fingerprint(run_id)
    try:
        return read(run_id, stamp).watched(say)
    except StoreError:
        read.clear(run_id, stamp)
        raise


# By stamp: a run that was written to is read anew. Nothing that is returned may be changed.
@st.cache_resource(show_spinner=False, max_entries=4)
def _catalog(stamp: str) -> Catalog:
    return read_catalog()


@st.cache_resource(show_spinner=False, max_entries=512)
def _digest(run_id: str, stamp: str) -> Digest:
    return read_digest(run_id)


@st.cache_resource(show_spinner=False, max_entries=8)
def _answers(run_id: str, stamp: str) -> Work[pd.DataFrame]:
    return Work(lambda say: read_answers(run_id, say=say), "Reading the answers")


@st.cache_resource(show_spinner=False, max_entries=64)
def _tradeoffs(run_id: str, stamp: str) -> Work[Tradeoffs]:
    def read(say: Say) -> Tradeoffs:
        return read_tradeoffs(run_id, answers=lambda: answers(run_id, say))

    return Work(read, "Reading the answers")


@st.cache_resource(show_spinner=False, max_entries=4)
def _stored(run_id: str, stamp: str) -> StoredRun:
    return load_run(run_id)
