"""One pair in detail: where its time goes, when it pays, and its speed-up as lengths grow."""

import streamlit as st

from hybrid.presentation.pairings.cells import PairCell
from hybrid.presentation.pairings.detail import Axis, curve, curve_drawing, sentences, times_drawing
from hybrid.presentation.pairings.measured import MeasuredPairs
from hybrid.presentation.pairings.metrics import Terms
from hybrid.presentation.pairings.sources import Device
from pages.common.figure import figure, ground
from pages.common.notes import note

AXES: tuple[Axis, ...] = ("output", "prompt")


def draw(device: Device, measured: MeasuredPairs, cell: PairCell, terms: Terms) -> None:
    """All about one cell of the map; a sentence where nothing is known of it."""
    for text in sentences(device, cell, terms):
        st.text(text)
    if cell.why:
        note(cell.why)
    if cell.methods:
        figure("phases", times_drawing(cell, terms, ground()))
    curves = [curve(device, measured, cell, axis) for axis in AXES]
    if any(drawn.predicted or drawn.measured for drawn in curves):
        for place, drawn in zip(st.columns(2, gap="large"), curves, strict=True):
            with place:
                figure(f"by-{drawn.axis}", curve_drawing(drawn))
