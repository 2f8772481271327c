"""Which sizes? LLM sizes by SLM sizes on one device, measured where a grid has them, else predicted."""

import streamlit as st

from hybrid.presentation.pairings.cells import PairCell
from hybrid.sizing import beyond
from pages.common import caches, removal
from pages.common.notes import note, notes
from pages.pairings_parts import controls, details, size_map

MAKE_ONE = (
    "There are no device profiles and no grids yet. `hybrid device` measures this machine in half a minute, "
    "and every pair of sizes is predicted from that; `hybrid latency` measures pairs themselves."
)


def chosen_cell(cells: tuple[PairCell, ...], pair: tuple[str, str]) -> PairCell:
    return next(cell for cell in cells if (cell.llm.name, cell.slm.name) == pair)


st.title("Which sizes?", anchor=False)
st.caption(
    "What a hybrid of any two sizes gains over its LLM alone: measured where a stored grid has the pair, "
    "predicted from the device's profile elsewhere. Speed and memory follow from sizes alone; quality does "
    "not, so only trained pairs have one."
)
removal.draw_outcome()
known = caches.sources()
if not known.devices:
    notes(known.problems)
    removal.damaged(known.damaged)
    note(MAKE_ONE)
    st.stop()
choices = controls.choose(known)
if not choices.llms or not choices.slms:
    note("Choose at least one LLM and one SLM.")
    st.stop()
measured = caches.measured_pairs(choices.device)
notes((*known.problems, *measured.problems))
removal.damaged(known.damaged)
terms = size_map.terms_of(choices, known)
cells = caches.cells(choices.device, choices.llms, choices.slms, choices.request)
above = st.container()
st.subheader("One pair in detail", anchor=False)
pair = controls.pair(known, choices)
with above:
    size_map.draw(choices, cells, terms, pair)
    trust = st.empty()
    profile, foreign = choices.device.profile, choices.device.stranger
    outside = beyond(profile, choices.request) if profile else ""
    for warning in filter(None, (outside, foreign.sentence if foreign else "")):
        note(warning, "warning")
details.draw(choices.device, measured, chosen_cell(cells, pair), terms)
if not (outside or foreign):
    trust.text(caches.prediction_error(choices.device))
