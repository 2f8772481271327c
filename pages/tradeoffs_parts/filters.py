"""Which runs the Trade-offs page shows: filters and the choice of runs, all of it in the URL."""

from collections.abc import Container

import streamlit as st

from hybrid.format import printable
from hybrid.presentation.runs.catalog import Catalog, Entry, choices, fullest, passes
from pages.common.notes import note

MOST_RUNS = 6
FILTERS = {
    "suite": "Suite",
    "pair": "Pair",
    "engine": "Engine",
    "device": "Device",
    "batch": "Batch size",
    "machine": "Machine",
}
RUNS = "tradeoffs-runs"
STATE = st.session_state


def chosen_runs(catalog: Catalog, place: st.delta_generator.DeltaGenerator) -> list[Entry]:
    """Draw the controls, filters at `place`; the page ends with a sentence where nothing is left to show."""
    with place.container(horizontal=True, gap="small", key="filters"):
        filters = {name: _filter(catalog, name) for name in FILTERS}
    passing = [entry for entry in catalog.entries if passes(entry, filters)]
    if not passing:
        st.text("No run passes these filters.")
        st.button("Show all runs", on_click=_clear)
        st.stop()
    first = fullest(passing) or passing[0]
    ids = _runs([entry.run_id for entry in passing], first, {entry.run_id for entry in catalog.entries})
    by_id = {entry.run_id: entry for entry in passing}
    return [by_id[run_id] for run_id in ids]


def _filter(catalog: Catalog, name: str) -> str | int | None:
    choice: str | int | None = st.selectbox(
        FILTERS[name], choices(catalog.entries, name), index=None, placeholder="All",
        format_func=lambda value: printable(str(value)), key=name, bind="query-params", width=168,
    )  # fmt: skip
    return choice


def _runs(ids: list[str], first: Entry, known: Container[str]) -> list[str]:
    """Give the ids that the URL names, as far as the filters let them pass; else the fullest one.

    Not bound to the widget: Streamlit takes bound parameters out of links to other pages.
    """
    in_url = st.query_params.get_all("run")
    for run_id in in_url:
        if run_id not in known:
            note(f"There is no run {printable(run_id)} here.", "warning")
    STATE[RUNS] = [run_id for run_id in dict.fromkeys(in_url) if run_id in ids][:MOST_RUNS] or [first.run_id]
    chosen: list[str] = st.multiselect(
        "Runs", ids, max_selections=MOST_RUNS, key=RUNS, on_change=_name, select_all=False
    )
    if in_url and in_url != chosen:
        st.query_params["run"] = chosen
    return chosen


def _name() -> None:
    """Once runs are chosen, the URL names them; without any it is the fullest one again."""
    st.query_params["run"] = STATE[RUNS]


def _clear() -> None:
    for name in FILTERS:
        STATE[name] = None
