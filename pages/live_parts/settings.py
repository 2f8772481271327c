"""The controls of the Live page that say who is asked: pair, systems, device. All of them live in the URL."""

from collections.abc import Callable

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from hybrid.format import printable
from hybrid.live.answers import DEFAULT, MOST, check_systems, devices, systems
from hybrid.live.model_cache import EngineRequest
from hybrid.models.pair_summary import able_systems, check_methods, how_to_train
from hybrid.schema import CPU, LOSSLESS, System
from pages.common.figure import show
from pages.common.notes import note, tell
from pages.live_parts import models

ONE, FILE = "One prompt", "Prompts from a file"
SLOWDOWNS = {1: "real time", 4: "4× slower", 10: "10× slower"}
LIMITS = (1, 512)  # new tokens


def what() -> tuple[str, str, DeltaGenerator]:
    """Draw the task, whether it is one prompt or a file of them, and room for more in the same row."""
    tasks = models.tasks(models.pair())
    first = next(iter(tasks))
    if st.session_state.get("task", first) not in tasks:  # of a pair that was chosen before
        del st.session_state["task"]
    with st.container(horizontal=True, vertical_alignment="center"):
        task = st.segmented_control(
            "Task", list(tasks), default=first, format_func=_task, required=True, key="task",
            bind="query-params", label_visibility="collapsed",
        ) or first  # fmt: skip
        mode = st.segmented_control(
            "Ask", [ONE, FILE], default=ONE, required=True, key="ask", bind="query-params",
            label_visibility="collapsed",
        ) or ONE  # fmt: skip
        room = st.container(horizontal=True, vertical_alignment="center", width="content")
    return task, mode, room


def who() -> tuple[EngineRequest, DeltaGenerator]:
    """Who is asked, and room for more in the same row.

    Raises HybridError when the pairs cannot be read, or nobody is chosen.
    """
    pairs = models.pairs(tell)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Systems", list(systems()), default=list(DEFAULT), format_func=_label, max_selections=MOST,
            key="systems", bind="query-params", width="stretch", wrap=True,
            help=f"Up to {MOST}. A name without an engine takes the fastest that runs all such systems here. "
            + LOSSLESS,
        )  # fmt: skip
        pair = st.selectbox(
            "Pair", list(pairs), format_func=printable, key=models.PAIR, bind="query-params", width=220
        )
        device = CPU
        if len(devices()) > 1:
            device = st.selectbox(
                "Device", list(devices()), key="live_device", bind="query-params", width=110
            )
        room = st.container(horizontal=True, width="content")
    manifest = pairs.get(pair or "", {})
    if pair and (sentence := how_to_train(pair, manifest)):
        note(sentence)
        chosen = list(able_systems(chosen, manifest))
    check_systems(tuple(chosen))
    check_methods(pair or "", manifest, [system.method for system in chosen])
    return EngineRequest(pair or "", manifest, device, tuple(chosen)), room


def _label(system: System) -> str:
    return system.label


def limit() -> None:
    """Draw the longest answer, as st.session_state["limit"]."""
    st.number_input("Max new tokens", *LIMITS, 128, key="limit", bind="query-params", on_change="ignore")


def complain() -> None:
    """Say what a link asks for that is not here. Its widgets pass it over and take it out of the address."""
    _shorter_address()
    for name, (what, known) in _known().items():
        if named := [value for value in st.query_params.get_all(name)[:MOST] if value]:
            lacking = [printable(value, 30) for value in named if value not in known()]
            listed, more = known()[:MOST], len(known()) - MOST
            available = ", ".join(listed) + (f" and {more} more" if more > 0 else "")
            if lacking:
                note(
                    f"The link asks for {what} unknown here: {', '.join(lacking)}. There is {available}.",
                    "warning",
                )
    asked_limit = st.query_params.get("limit", "")
    if asked_limit and not _is_limit(asked_limit):
        note(
            f"The link asks for a limit of {printable(asked_limit, 20)} new tokens; "
            f"it can be {LIMITS[0]} to {LIMITS[1]}.",
            "warning",
        )


def engines_here() -> None:
    """Draw what can be chosen here, why the rest cannot, and what is in memory now."""
    part = st.expander("Engines here, and what is in memory", on_change="rerun", key="engines-here")
    if not part.open:
        return
    with part:
        line = st.empty()
        table = models.engines(line.text)
        held = "; ".join(f"{printable(pair)}: {', '.join(names)}" for pair, names in models.held().items())
        line.text(f"In memory: {held or 'nothing yet'}.")
        show(table, "engines-table")


def _known() -> dict[str, tuple[str, Callable[[], list[str]]]]:
    """By the name of a choice in the address: what it is, and what can be chosen, as addresses spell it."""
    return {
        "task": ("a task", lambda: [_task(name) for name in models.tasks(models.pair())]),
        "ask": ("a way to ask", lambda: [ONE, FILE]),
        "systems": ("systems", lambda: [system.label for system in systems()]),
        models.PAIR: ("a pair", lambda: [printable(pair) for pair in models.pairs()]),
        "live_device": ("a device", lambda: list(devices())),
        "slowdown": ("a replay speed", lambda: list(SLOWDOWNS.values())),
    }


def _shorter_address() -> None:
    """Take ?pair=NAME, as people write it, for the name that the control has in the address."""
    name = st.query_params.get("pair")
    if name in models.pairs():
        st.session_state[models.PAIR] = name
    elif name:
        st.query_params[models.PAIR] = name
    st.query_params.pop("pair", None)


def _is_limit(text: str) -> bool:
    return text.isascii() and text.isdecimal() and LIMITS[0] <= int(text[:9]) <= LIMITS[1]


def _task(name: str) -> str:
    return models.task(name).label
