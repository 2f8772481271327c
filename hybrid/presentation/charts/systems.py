"""What every figure agrees on: a system's one colour, its name, and how phases are told apart."""

from collections.abc import Mapping

from hybrid.schema import Phase, System

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

# What a marker and a line look like says which engine: the first is the plan's own.
ENGINE_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "star", "x", "cross", "hexagon")

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


def color_of(system: System) -> str:
    """The method's colour, whatever the engine."""
    return SYSTEM_COLORS[system.method]


def tint(system: System, phase: Phase) -> str:
    """The system's colour, as strong as the phase is."""
    return faded(color_of(system), PHASE_OPACITY[phase])


def faded(color: str, opacity: float) -> str:
    """`#rrggbb` with an opacity from 0 to 1."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
