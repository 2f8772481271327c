"""Plotly figures from plain data, and the one fixed colour of each system.

Figures have transparent backgrounds and no colours of their own besides the
systems', so that they read the same on a light and on a dark page. Every text
from elsewhere goes through words.label() before Plotly draws it.
"""

from hybrid.charts.frame import framed
from hybrid.charts.systems import ENGINE_SYMBOLS, SYSTEM_COLORS, SYSTEM_NAMES, color_of, faded, name_of, tint
from hybrid.charts.time_bar import time_bar, time_bar_in_words
from hybrid.charts.words import label, milliseconds, plain_times, shown, times

__all__ = [
    "ENGINE_SYMBOLS",
    "SYSTEM_COLORS",
    "SYSTEM_NAMES",
    "color_of",
    "faded",
    "framed",
    "label",
    "milliseconds",
    "name_of",
    "plain_times",
    "shown",
    "time_bar",
    "time_bar_in_words",
    "times",
    "tint",
]
