"""The examples of a run as the page needs them, read once for all visitors."""

import streamlit as st

from hybrid.errors import StoreError
from hybrid.presentation.views.catalog import Entry
from hybrid.presentation.views.examples import Examples, examples
from hybrid.schema import System
from hybrid.store import run_fingerprint
from pages.common import store
from pages.common.work import Say, Work


def load(entry: Entry, say: Say) -> Examples:
    """A run by example; `say` is told how far the reading is. Raises StoreError."""
    asked = entry.run_id, run_fingerprint(entry.run_id), entry.systems
    try:
        return _examples(*asked).watched(say)
    except StoreError:
        _examples.clear(*asked)
        raise


@st.cache_resource(show_spinner=False, max_entries=4)
def _examples(run_id: str, stamp: str, systems: tuple[System, ...]) -> Work[Examples]:
    return Work(lambda say: examples(store.answers(run_id, say), systems), "Reading the answers")
