"""One pair in detail: where its time goes, when it pays, and its speed-up as lengths grow."""

import streamlit as st

from hybrid.presentation.charts.pairings import phase_bars, speedup_curve
from hybrid.presentation.views.pairings.cells import PairCell
from hybrid.presentation.views.pairings.detail import (
    Axis,
    Curve,
    curve,
    sentences,
    times_sentence,
    times_table,
)
from hybrid.presentation.views.pairings.measured import MeasuredPairs
from hybrid.presentation.views.pairings.numbers import Terms, spread_words
from hybrid.presentation.views.pairings.sources import Device
from hybrid.schema import MODELS
from pages.common.figure import figure
from pages.common.notes import note

AXES: tuple[tuple[Axis, str], ...] = (("output", "output tokens"), ("prompt", "prompt tokens"))


def draw(device: Device, found: MeasuredPairs, cell: PairCell, terms: Terms) -> None:
    """All about one cell of the map; a sentence where nothing is known of it."""
    for text in sentences(device, cell, terms):
        st.text(text)
    if cell.why:
        note(cell.why)
    if cell.methods:
        bars = [(one, cell.methods[one].phases) for one in MODELS if one in cell.methods]
        figure(
            "phases", phase_bars(bars, cell.source == "predicted"), times_sentence(cell),
            times_table(cell, terms),
        )  # fmt: skip
    curves = [(curve(device, found, cell, axis), what) for axis, what in AXES]
    if any(one.predicted or one.measured for one, _ in curves):
        for place, (one, what) in zip(st.columns(2, gap="large"), curves, strict=True):
            with place:
                _curve(one, what)


def _curve(one: Curve, what: str) -> None:
    points = {at: cell.speedup for at, cell in one.measured.items() if cell.speedup is not None}
    hover = {at: spread_words(cell) for at, cell in one.measured.items()}
    at = getattr(one.request, one.axis)
    figure(f"by-{one.axis}", speedup_curve(one.predicted, points, at, what, hover), one.sentence, one.table)
