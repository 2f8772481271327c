"""Plotly figures from plain data, and the one fixed colour of each system.

Figures have transparent backgrounds and no colours of their own besides the
systems', so that they read the same on a light and on a dark page. Every text
from elsewhere goes through format.label() before Plotly draws it.
"""

from hybrid.presentation.charts.frame import framed
from hybrid.presentation.charts.systems import (
    ENGINE_SYMBOLS,
    SYSTEM_COLORS,
    color_of,
    faded,
    tint,
)
from hybrid.presentation.charts.time_bar import time_bar, time_bar_in_words

__all__ = [
    "ENGINE_SYMBOLS",
    "SYSTEM_COLORS",
    "color_of",
    "faded",
    "framed",
    "time_bar",
    "time_bar_in_words",
    "tint",
]
