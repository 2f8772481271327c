"""Which sizes? LLM sizes by SLM sizes on one device, measured where a grid has them, else predicted."""

import streamlit as st

from hybrid.presentation.views.pairings.cells import PairCell, beyond
from pages import _pairings_controls, _pairings_map, _pairings_pair, _pairings_store
from pages._words import note, notes

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
known = _pairings_store.known()
if not known.devices:
    notes(known.problems)
    note(MAKE_ONE)
    st.stop()
wanted = _pairings_controls.asked(known)
if not wanted.llms or not wanted.slms:
    note("Choose at least one LLM and one SLM.")
    st.stop()
found = _pairings_store.measured(wanted.device)
notes((*known.problems, *found.problems))
terms = _pairings_map.terms_of(wanted, known)
cells = _pairings_store.cells(wanted.device, wanted.llms, wanted.slms, wanted.request)
above = st.container()
st.subheader("One pair in detail", anchor=False)
pair = _pairings_controls.pair(known, wanted)
with above:
    _pairings_map.draw(wanted, cells, terms, pair)
    trust = st.empty()
    if wanted.device.profile is not None and (warning := beyond(wanted.device.profile, wanted.request)):
        note(warning, "warning")
_pairings_pair.draw(wanted.device, found, chosen_cell(cells, pair), terms)
trust.text(_pairings_store.error(wanted.device))
