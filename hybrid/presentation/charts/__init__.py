"""How systems look in every figure: one colour each, symbols and dashes by engine, tints by phase.

Figures have transparent backgrounds and no colours of their own besides the
systems', so that they read the same on a light and on a dark page. Every text
from elsewhere goes through format.label() before Plotly draws it. Beside this: the axes
that all share, and the figures that several callers draw.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import plotly.graph_objects as go

from hybrid.schema import Phase, System
from hybrid.store.tables import Table

# Okabe and Ito's palette, safe for colour-blind readers (https://jfly.uni-koeln.de/color/):
# blue, vermillion and bluish green, the three that also stand out on white and on black.
SYSTEM_COLORS: Mapping[str, str] = {
    "llm": "#0072b2",
    "slm": "#d55e00",
    "hybrid": "#009e73",
    "lossless": "#cc79a7",
    "lossless-slm": "#e69f00",
    "lossless-lookup": "#56b4e9",
}
GRAY = "#808080"  # stands out on white and on black

# What a marker and a line look like says which engine: the first is the plan's own.
ENGINE_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "x", "cross", "hexagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

# Decoding carries the colour itself: it is what the hybrid makes short.
PHASE_OPACITY: Mapping[Phase, float] = {
    "tokenize": 0.35,
    "encode": 0.5,
    "project": 0.35,
    "prefill": 0.75,
    "draft": 0.6,
    "verify": 1.0,
    "decode": 1.0,
    "detokenize": 0.35,
}


@dataclass(frozen=True)
class Drawing:
    """A figure with its sentence and its table.

    says: sentences with numbers, units and n; plain text that may hold names from elsewhere.
    """

    figure: go.Figure
    says: str
    table: Table


@dataclass(frozen=True)
class Mark:
    """A system in a figure. name: plain text, also from elsewhere; symbol and dash: Plotly's names."""

    name: str
    color: str
    symbol: str = "circle"
    dash: str = "solid"

    @classmethod
    def of(cls, name: str, system: System, engine: int) -> "Mark":
        """Make the mark of a system. engine: its place among the figure's engines, from 0."""
        symbol, dash = ENGINE_SYMBOLS[engine % len(ENGINE_SYMBOLS)], DASHES[engine % len(DASHES)]
        return cls(name, color_of(system), symbol, dash)


def color_of(system: System) -> str:
    """Return the method's colour, whatever the engine."""
    return SYSTEM_COLORS.get(system.method, GRAY)  # those without a model have none of their own


def tint(system: System, phase: Phase) -> str:
    """Return the system's colour, as strong as the phase is."""
    return faded(color_of(system), PHASE_OPACITY[phase])


def faded(color: str, opacity: float) -> str:
    """Give `#rrggbb` an opacity from 0 to 1."""
    red, green, blue = channels(color)
    return f"rgba({red},{green},{blue},{opacity})"


def blended(color: str, opacity: float, ground: str) -> str:
    """Return the opaque colour that `color` gives on `ground`, all `#rrggbb`: Plotly takes any for white."""
    pairs = zip(channels(color), channels(ground), strict=True)
    return "#" + "".join(f"{round(opacity * top + (1 - opacity) * below):02x}" for top, below in pairs)


def channels(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of `#rrggbb`, 0 to 255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
