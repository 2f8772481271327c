"""The choices of the Pairings page, all of them in its address.

They are kept for the visit, so that none may have the name of another page's choice.
"""

from dataclasses import dataclass

import streamlit as st

from hybrid.presentation.pairings.cells import by_size, sized
from hybrid.presentation.pairings.metrics import CELL_METRICS
from hybrid.presentation.pairings.sources import LONGEST, Device, Sources
from hybrid.sizing import Request

PROMPTS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
OUTPUTS = (1, 4, 16, 32, 64, 128, 256, 512, 1024)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
MOST_AT_ONCE = 1024  # prompts that a slider offers
FAMILY = tuple(f"t5-v1_1-{size}" for size in ("small", "base", "large", "xl"))
LLMS, SLMS = ("bundled-llm", *FAMILY), ("bundled-slm", *FAMILY[:3])
PAIR = FAMILY[2], FAMILY[0]  # whose details are shown first


@dataclass(frozen=True)
class Choices:
    """What a visitor wants to see. llms, slms: names of known shapes. price: of an hour."""

    device: Device
    show: str
    request: Request
    price: float
    llms: tuple[str, ...]
    slms: tuple[str, ...]


def choose(known: Sources) -> Choices:
    """Draw the controls; known: with at least one device."""
    by_name = {device.name: device for device in known.devices}
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    name = left.selectbox(
        "Device, engine and precision", list(by_name), format_func=lambda device: by_name[device].label,
        key="profile", bind="query-params", persist_state="session",
        help="A profile that `hybrid device` stored, or a grid of `hybrid latency` alone.",
    )  # fmt: skip
    show = right.segmented_control(
        "Show", list(CELL_METRICS), default="speedup", required=True,
        format_func=lambda metric: CELL_METRICS[metric].label, key="show", wrap=True,
        bind="query-params", persist_state="session",
    )  # fmt: skip
    places = st.columns(3, gap="medium", vertical_alignment="bottom")
    sizes = [
        place.select_slider(
            label, known.sizes(field, common, limit), first, format_func="{:,}".format, key=key,
            bind="query-params", persist_state="session",
        )
        for place, label, field, common, limit, first, key in (
            (places[0], "Prompt tokens", "prompts", PROMPTS, LONGEST, 128, "prompt-tokens"),
            (places[1], "Output tokens", "outputs", OUTPUTS, LONGEST, 64, "output-tokens"),
            (places[2], "Batch: prompts at once", "batches", BATCHES, MOST_AT_ONCE, 1, "at-once"),
        )
    ]  # fmt: skip
    with st.expander("Models, and the price of the machine", icon=":material/tune:"):
        llms, slms = _models(known)
        price = st.number_input(
            "Price per hour", 0.01, 10_000.0, 1.0, 0.5, key="price", bind="query-params",
            persist_state="session", help="In any currency; costs are in the same.", width=220,
        )  # fmt: skip
    return Choices(by_name[name], show or "speedup", Request(*sizes), float(price or 1.0), llms, slms)


def pair(known: Sources, choices: Choices) -> tuple[str, str]:
    """Which pair is shown in detail: LLM and SLM, chosen here or by a click on the map."""
    picked = []
    for place, label, names, key, first in zip(
        st.columns(2, gap="medium"), ("LLM in detail", "SLM in detail"), (choices.llms, choices.slms),
        ("llm", "slm"), PAIR, strict=True,
    ):  # fmt: skip
        # The default comes first: Streamlit warns when a click sets a widget that has another default.
        options = [first] * (first in names) + [name for name in names if name != first]
        picked.append(
            place.selectbox(
                label, options, format_func=lambda name: sized(known.shapes[name]), key=key,
                bind="query-params", persist_state="session",
            )
        )  # fmt: skip
    return picked[0], picked[1]


def pick(choices: Choices, key: str) -> None:
    """Show the pair that was clicked on in detail. key: of the map's selection."""
    points = st.session_state[key].selection.points
    column, row = points[0].get("customdata", (-1, -1)) if points else (-1, -1)
    if 0 <= row < len(choices.llms) and 0 <= column < len(choices.slms):
        st.session_state["llm"], st.session_state["slm"] = choices.llms[row], choices.slms[column]


def _models(known: Sources) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the chosen LLMs and SLMs, the smallest first."""
    shapes = by_size(known.shapes.values())
    options = [shape.name for shape in shapes]
    chosen = []
    for place, label, key, first in zip(
        st.columns(2, gap="medium"), ("LLMs, which read", "SLMs, which write"), ("llms", "slms"),
        (LLMS, SLMS), strict=True,
    ):  # fmt: skip
        names = place.multiselect(
            label, options, [name for name in first if name in known.shapes], key=key,
            format_func=lambda name: sized(known.shapes[name]), bind="query-params", persist_state="session",
        )  # fmt: skip
        chosen.append(tuple(name for name in options if name in names))
    return chosen[0], chosen[1]
