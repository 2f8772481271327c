"""What the Examples page lets one choose. All of it is in the URL."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from hybrid.format import printable
from hybrid.metrics import Check
from hybrid.presentation.examples.arrangement import ORDERS, Query, orders
from hybrid.presentation.examples.cards import Against
from hybrid.presentation.runs.catalog import Entry, fullest
from hybrid.schema import BASELINE, System
from pages.common.notes import note

STATE = st.session_state
AGAINST: dict[Against, str] = {"reference": "Reference", "llm": "LLM", "nothing": "Nothing"}
PAGE_SIZES = (10, 25, 50)
FILTERS = {"contains": "", "domain": None, "differs": False, "stopped": False, "fault": None}
RUN = "examples-run"


@dataclass(frozen=True)
class Chosen:
    """What is asked of a run, but for domain and fault, which only the run's answers tell."""

    query: Query
    against: Against
    missing: bool
    domain: DeltaGenerator
    fault: DeltaGenerator


def choose_run(entries: Sequence[Entry]) -> Entry:
    """Give the run that the URL names, else the fullest one; a choice is put into the URL."""
    by_id = {entry.run_id: entry for entry in entries}
    default = (fullest(entries) or entries[0]).run_id
    in_url = st.query_params.get("run")
    if in_url is not None and in_url not in by_id:
        note(f"There is no run {printable(in_url)} here. This is another one.", "warning")
    before = STATE.get(RUN) if in_url is None else in_url
    STATE[RUN] = before if before in by_id else default
    run_id: str = st.selectbox(
        "Run", list(by_id), format_func=lambda run: _run_in_words(by_id[run]), key=RUN, on_change=_run_chosen,
    )  # fmt: skip
    if st.query_params and in_url != run_id:  # a link must go on showing this run when there is a newer one
        st.query_params["run"] = run_id
    return by_id[run_id]


def controls(entry: Entry) -> Chosen:
    """All other controls of a run."""
    systems = list(entry.systems)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = st.multiselect(
            "Systems", systems, default=_shown_first(systems), format_func=_system, key="shown",
            bind="query-params", width=420, on_change=first_page, placeholder="All systems",
        ) or systems  # fmt: skip
        of = st.selectbox(
            "Look at", systems, index=_first(systems), format_func=_system, key="of", bind="query-params",
            width=220, on_change=first_page,
        ) or systems[0]  # fmt: skip
        names = orders(of, systems, scored=not entry.fixed_length)
        order = st.selectbox(
            "Sort by", names, format_func=lambda name: ORDERS[name].label, key="sort", bind="query-params",
            width=240, on_change=first_page,
        ) or names[0]  # fmt: skip
        offered = [name for name in AGAINST if name != "llm" or BASELINE in systems]
        against = st.segmented_control(
            "Mark words that differ from", offered, default=offered[0], format_func=AGAINST.__getitem__,
            required=True, key="marked", bind="query-params",
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        contains = st.text_input(
            "Contains", key="contains", bind="query-params", placeholder="Find in source, reference, answer",
            type="search", max_chars=200, width=320, on_change=first_page, label_visibility="collapsed",
        ) or ""  # fmt: skip
        domain = st.container(width=200)
        fault = st.container(width=220)
        differs = BASELINE in systems and of != BASELINE and st.toggle(
            "Differs from the LLM", key="differs", bind="query-params", on_change=first_page
        )  # fmt: skip
        stopped = st.toggle("Stopped at the limit", key="stopped", bind="query-params", on_change=first_page)
        missing = st.toggle("Show missing words", key="missing", bind="query-params")
    query = Query(order, of, tuple(shown), differs, stopped, contains=contains.strip())
    return Chosen(query, against, missing, domain, fault)


def choose_domain(place: DeltaGenerator, domains: Sequence[str]) -> str | None:
    """One of several domains, or None for all."""
    return place.selectbox(
        "Domain", domains, index=None, format_func=printable, placeholder="All domains", key="domain",
        bind="query-params", on_change=first_page, label_visibility="collapsed",
    )  # fmt: skip


def choose_fault(place: DeltaGenerator, checks: Sequence[Check]) -> str | None:
    """One of several checks, whose fault an answer must have, or None for all answers."""
    faults = {check.name: check.fault.capitalize() for check in checks}
    return place.selectbox(
        "Fault", list(faults), index=None, format_func=faults.__getitem__, placeholder="Any answers",
        key="fault", bind="query-params", on_change=first_page, label_visibility="collapsed",
        help="Only where an answer of one of the systems has it; found without a model",
    )  # fmt: skip


def first_page() -> None:
    STATE["page"] = 1


def clear_filters() -> None:
    for name, value in FILTERS.items():
        STATE[name] = value
    first_page()


def _run_chosen() -> None:
    st.query_params["run"] = STATE[RUN]
    first_page()


def _run_in_words(entry: Entry) -> str:
    state = "" if entry.complete else f", {entry.records:,} of {entry.planned:,} answers"
    return f"{printable(entry.run_id)}: {printable(entry.suite)}, {printable(entry.device_name)}{state}"


def _system(system: System) -> str:
    return printable(system.label)


def _shown_first(systems: Sequence[System]) -> list[System]:
    """One of each method: of several engines, the first."""
    return list({system.method: system for system in reversed(systems)}.values())[::-1]


def _first(systems: Sequence[System]) -> int:
    """Give the hybrid, or what else is not the LLM."""
    ranked = sorted(systems, key=lambda system: (system != "hybrid", system == BASELINE))
    return systems.index(ranked[0])
