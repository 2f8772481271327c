"""The stored runs: which there are, what they say beside each other, and their way out, in and away."""

import streamlit as st

from pages.common import caches, removal
from pages.common.access import refusal
from pages.common.notes import NO_RUNS, note, notes
from pages.runs_parts import comparison as comparing
from pages.runs_parts import files
from pages.runs_parts.listing import choose, choose_next

st.title("Stored runs", anchor=False)
st.caption(
    "A run is a folder that can be copied, mailed and imported. Choose one to see what it "
    "says, several to compare them; take the numbers home as CSV, or a report to mail."
)
catalog = caches.catalog()
removal.draw_outcome()
chosen = choose(catalog) if catalog.entries else []
if not catalog.entries:
    note(NO_RUNS)
notes(catalog.problems)
removal.damaged(catalog.damaged)
if why := refusal():
    note(why)
actions = st.container(horizontal=True, gap="small", vertical_alignment="center")
compared = None
if chosen:
    st.header("What they say" if len(chosen) > 1 else "What it says", anchor=False)
    compared = comparing.comparison(chosen)
ids = [entry.run_id for entry in chosen]
with actions:
    if catalog.entries:
        st.text("Of the chosen runs" if ids else "Of all complete runs")
        files.exports(ids)
    if len(ids) == 1:
        files.archive(ids[0])
        if chosen[0].complete and not chosen[0].private and refusal() is None:
            files.private_copy(ids[0])
    if compared:
        files.report(*compared)
    if refusal() is None:
        if ids and st.button("Delete", icon=":material/delete:", key="delete"):
            removal.delete(ids, choose_next)
        files.importing()
if compared:
    comparing.draw(compared)
