"""Quality against latency, speed-up by length, phases, spread of latencies: is it worth it?"""

import streamlit as st

from hybrid.errors import HybridError
from hybrid.format import printable
from hybrid.presentation.views.catalog import Entry
from hybrid.presentation.views.digest import Digest
from hybrid.presentation.views.tradeoffs.between import between
from hybrid.presentation.views.tradeoffs.chosen import chosen
from hybrid.presentation.views.tradeoffs.marks import ordered
from hybrid.presentation.views.tradeoffs.measured import Tradeoffs
from pages.common import store
from pages.common.notes import note
from pages.tradeoffs_parts import figures as figures
from pages.tradeoffs_parts.filters import chosen_runs
from pages.tradeoffs_parts.verdicts import verdicts


def loaded(entries: list[Entry]) -> list[tuple[Entry, Digest, Tradeoffs]]:
    """What the figures need of each run; one that cannot be read is named and left out."""
    place, found = st.empty(), []
    for number, entry in enumerate(entries, start=1):
        of = f" ({number} of {len(entries)})" if len(entries) > 1 else ""
        place.text(f"Reading run {entry.run_id}{of} …")
        try:
            found.append((entry, store.digest(entry.run_id), store.tradeoffs(entry.run_id, place.text)))
        except HybridError as error:
            note(str(error), "error")
    place.empty()
    return found


def picked_systems(runs: list[tuple[Entry, Digest, Tradeoffs]]) -> list[str]:
    """The systems that all figures show; none means all."""
    names = ordered(dict.fromkeys(system for _, _, times in runs for system in times.systems))
    found: list[str] = st.multiselect(
        "Systems", names, format_func=lambda system: printable(system), key="system", bind="query-params",
        placeholder="All systems", select_all=False,
    )  # fmt: skip
    return found


st.title("Is it worth it?", anchor=False)
st.caption(
    "Stored runs: quality against latency, speed-up by length, and where the time goes. All systems of a run "
    "answered the same texts on the same machine, in turns."
)
catalog = store.catalog()
if not catalog.entries:
    note(store.MAKE_ONE)
    store.problems(catalog)
    st.stop()
entries = chosen_runs(catalog)
systems_place = st.container()
said = st.container()
runs = loaded(entries)
if not runs:
    st.stop()
with systems_place:
    systems = picked_systems(runs)
with said:
    for entry, digest, _ in runs:
        verdicts(entry, digest, several=len(runs) > 1)
found = chosen(
    [(digest, times) for _, digest, times in runs], between([entry.run_id for entry, _, _ in runs]), systems
)
with said:
    figures.warnings(found)
st.header("What does quality cost in time?", anchor=False)
latency = figures.quality(found, st.container(horizontal=True, gap="small", key="scales"))
st.header("From which length on is it faster?", anchor=False)
figures.lengths(found)
st.header("Where does the time go?", anchor=False)
figures.phases(found)
st.header("How long do answers take?", anchor=False)
figures.spread(found, latency)
store.problems(catalog)
