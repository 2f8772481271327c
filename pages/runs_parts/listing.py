"""The list of stored runs: filters, a table to choose from, and the choice itself, all of it in the URL."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from hybrid.format import printable
from hybrid.presentation.runs.catalog import Catalog, Entry, choices, passes

STATE = st.session_state
CHOSEN, TABLE, NEXT, LISTED = "run", "runs-table", "runs-next", "runs-listed"
FILTERS = {
    "suite": "Suite",
    "pair": "Pair",
    "engine": "Engine",
    "device": "Device",
    "batch": "Batch",
    "machine": "Machine",
}
ROW_PX, MOST_ROWS = 35, 10
_HELP = {
    "run": "its id, the name of its folder",
    "created (UTC)": "when it began",
    "engines": "what ran the models, the plan's own first",
    "batch": "prompts answered at once",
    "n": "examples x repeats, each answered by every system",
    "machine": "busy where it was meanwhile, by its probes; empty where it was not probed",
    "state": "incomplete ones say how many answers they have",
}


def choose(catalog: Catalog) -> list[Entry]:
    """Draw the list; returns the chosen runs in the order in which they were chosen."""
    if NEXT in STATE:  # set by what was done on the page, too late for the widget below
        STATE[CHOSEN] = STATE.pop(NEXT)
    listed = _filtered(catalog.entries)
    place = st.container()
    ids = [entry.run_id for entry in catalog.entries]
    chosen = st.multiselect(
        "Chosen runs", ids, key=CHOSEN, bind="query-params", placeholder="Tick rows above, or choose here",
        help="The first one is what the others are set against.",
    )  # fmt: skip
    with place:
        _table(listed, chosen)
    by_id = {entry.run_id: entry for entry in catalog.entries}
    return [by_id[run_id] for run_id in chosen]


def choose_next(run_ids: Sequence[str]) -> None:
    """Keep what is chosen when the page is drawn again."""
    STATE[NEXT] = list(run_ids)


def _filtered(entries: Sequence[Entry]) -> list[Entry]:
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        words = st.text_input(
            "Find", key="find", bind="query-params", placeholder="Part of a name", width=200
        )
        filters = {name: _filter(entries, name) for name in FILTERS}
    return [entry for entry in entries if passes(entry, filters) and _holds(entry, words)]


def _filter(entries: Sequence[Entry], name: str) -> str | int | None:
    """Draw and give the chosen value of a filter; one that could not tell runs apart is not drawn."""
    values = {str(value): value for value in choices(entries, name)}
    if len(values) < 2:
        return None
    chosen = st.selectbox(
        FILTERS[name], list(values), index=None, key=name, bind="query-params", format_func=printable,
        placeholder="All", width=200,
    )  # fmt: skip
    return None if chosen is None else values[chosen]


def _holds(entry: Entry, words: str) -> bool:
    of_run = (entry.run_id, entry.suite, entry.task.name, entry.pair, entry.device_name, entry.dtype)
    everything = " ".join((*of_run, *entry.engines, *map(str, entry.systems))).lower()
    return all(word in everything for word in words.lower().split())


def _table(entries: Sequence[Entry], chosen: Sequence[str]) -> None:
    STATE[LISTED] = [entry.run_id for entry in entries]
    if not entries:
        st.text("No run passes the filters.")
        return
    rows = [number for number, entry in enumerate(entries) if entry.run_id in chosen]
    if STATE.get(TABLE, {}).get("selection", {}).get("rows") != rows:
        STATE[TABLE] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    height = ROW_PX * (min(len(entries), MOST_ROWS) + 1) + 3
    st.dataframe(
        pd.DataFrame(map(_row, entries)), hide_index=True, height=height, key=TABLE, on_select=_ticked,
        selection_mode="multi-row",
        column_config={  # in a narrow window the others scroll past the id
            name: st.column_config.Column(help=text, pinned=name == "run" or None)
            for name, text in _HELP.items()
        },
    )  # fmt: skip


def _row(entry: Entry) -> dict[str, object]:
    return {
        "run": entry.run_id,
        "created (UTC)": printable(entry.created_at[:16].replace("T", " ")),
        "suite": entry.suite,
        "task": entry.task.name,
        "pair": entry.pair,
        "engines": ", ".join(entry.engines),
        "device": entry.device_name,
        "batch": entry.batch_size,
        "n": f"{entry.examples:,} x {entry.repeats:,}",
        "machine": entry.machine,
        "state": ("complete" if entry.complete else f"incomplete, {entry.records:,} of {entry.planned:,}")
        + (", private" if entry.private else ""),
    }


def _ticked() -> None:
    """Rows were ticked: what is chosen and not listed now stays chosen."""
    listed, before = STATE[LISTED], STATE.get(CHOSEN, [])
    ticked = [listed[row] for row in STATE[TABLE]["selection"]["rows"] if row < len(listed)]
    unlisted = [run_id for run_id in before if run_id not in listed or run_id in ticked]
    STATE[CHOSEN] = unlisted + [run_id for run_id in ticked if run_id not in unlisted]
