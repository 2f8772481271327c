"""The stored runs: which there are, what they say beside each other, and their way out, in and away."""

import streamlit as st

from pages.common import caches
from pages.common.notes import NO_RUNS, note, notes
from pages.runs_parts import comparison as comparing
from pages.runs_parts import files
from pages.runs_parts.listing import choose

st.title("Stored runs", anchor=False)
st.caption(
    "A run is a folder of three files that can be copied, mailed and imported. Choose one to see what it "
    "says, several to compare them; take the numbers home as CSV, or a report to mail."
)
found = caches.catalog()
files.said()
chosen = choose(found) if found.entries else []
if not found.entries:
    note(NO_RUNS)
notes(found.problems)
actions = st.container(horizontal=True, gap="small", vertical_alignment="center")
made = None
if chosen:
    st.header("What they say" if len(chosen) > 1 else "What it says", anchor=False)
    made = comparing.comparison(chosen)
ids = [entry.run_id for entry in chosen]
with actions:
    if found.entries:
        st.text("Of the chosen runs" if ids else "Of all complete runs")
        files.exports(ids)
    if len(ids) == 1:
        files.archive(ids[0])
    if made:
        files.report(*made)
    if ids and st.button("Delete", icon=":material/delete:", key="delete"):
        files.delete(ids)
    files.importing()
if made:
    comparing.draw(made)
