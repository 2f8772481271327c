"""Quality against latency, speed-up by length, phases, spread of latencies: is it worth it?"""

import streamlit as st

from hybrid.errors import HybridError
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.digest import RunDigest
from hybrid.presentation.tradeoffs.results import Tradeoffs
from hybrid.presentation.tradeoffs.selection import ordered, select, stored_differences
from hybrid.schema import System
from pages.common import caches
from pages.common.notes import NO_RUNS, note, notes
from pages.tradeoffs_parts import figures as figures
from pages.tradeoffs_parts.filters import chosen_runs
from pages.tradeoffs_parts.verdicts import verdicts


def loaded(entries: list[Entry]) -> list[tuple[Entry, RunDigest, Tradeoffs]]:
    """Tell what the figures need of each run; one that cannot be read is named and left out."""
    place, runs = st.empty(), []
    for number, entry in enumerate(entries, start=1):
        of = f" ({number} of {len(entries)})" if len(entries) > 1 else ""
        place.text(f"Reading run {entry.run_id}{of} …")
        try:
            runs.append((entry, caches.digest(entry.run_id), caches.tradeoffs(entry.run_id, place.text)))
        except HybridError as error:
            note(str(error), "error")
    place.empty()
    return runs


def picked_systems(runs: list[tuple[Entry, RunDigest, Tradeoffs]]) -> list[System]:
    """Draw and give the systems that all figures show; none means all."""
    names = ordered(dict.fromkeys(system for _, _, times in runs for system in times.systems))
    picked: list[System] = st.multiselect(
        "Systems", names, format_func=str, key="system", bind="query-params",
        placeholder="All systems", select_all=False,
    )  # fmt: skip
    return picked


st.title("Is it worth it?", anchor=False)
st.caption(
    "Stored runs: quality against latency, speed-up by length, and where the time goes. All systems of a run "
    "answered the same texts on the same machine, in turns."
)
catalog = caches.catalog()
if not catalog.entries:
    note(NO_RUNS)
    notes(catalog.problems)
    st.stop()
filters_place = st.container()
runs_place, systems_place = st.columns([3, 2], gap="small")
with runs_place:
    entries = chosen_runs(catalog, filters_place)
runs = loaded(entries)
if not runs:
    st.stop()
with systems_place:
    systems = picked_systems(runs)
differences = stored_differences([entry.run_id for entry, _, _ in runs])
selection = select([(digest, times) for _, digest, times in runs], differences, systems)
question, scales = st.columns([3, 2], gap="small", vertical_alignment="bottom")
question.header("What does quality cost in time?", anchor=False)
latency = figures.quality(selection, scales.container(horizontal=True, gap="small", key="scales"))
for entry, digest, _ in runs:
    verdicts(entry, digest, several=len(runs) > 1)
figures.warnings(selection)
st.header("From which length on is it faster?", anchor=False)
figures.lengths(selection)
st.header("Where does the time go?", anchor=False)
figures.phases(selection)
st.header("How long do answers take?", anchor=False)
figures.spread(selection, latency)
notes(catalog.problems)
