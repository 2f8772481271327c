"""The method in one drawing: two ways from a prompt to an answer. Once wide, once for a phone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import streamlit as st

from hybrid.presentation.charts import SYSTEM_COLORS, faded

ALT = (
    "Above: the LLM alone reads the prompt and writes the answer token by token, each token through the "
    "large model. Below: the hybrid. The frozen LLM reads the prompt once, a projector carries what it "
    "understood to the small model, and the small model writes the answer."
)
LLM, SLM, HYBRID = (SYSTEM_COLORS[name] for name in ("llm", "slm", "hybrid"))
GRAY = "#7f7f7f"
Content = tuple[str, tuple[str, ...], float]  # of a box: its colour, lines and width
LINE = 20  # between two lines of text


@dataclass(frozen=True)
class Box:
    """Centre and size in the drawing's units; the first line is bold."""

    x: float
    y: float
    width: float
    height: float
    color: str
    lines: tuple[str, ...]


def _lane(
    start: tuple[float, float], step: tuple[float, float], boxes: Sequence[Content], height: float
) -> tuple[Box, ...]:
    return tuple(
        Box(start[0] + i * step[0], start[1] + i * step[1], width, height, color, lines)
        for i, (color, lines, width) in enumerate(boxes)
    )


_PROMPT = (GRAY, ("Prompt",), 110.0)
_ANSWER = (GRAY, ("Answer",), 110.0)
_ALONE = (
    _PROMPT,
    (LLM, ("LLM reads", "the whole prompt"), 190.0),
    (LLM, ("LLM writes", "every token through", "the large model"), 190.0),
    _ANSWER,
)
_BOTH = (
    _PROMPT,
    (LLM, ("LLM reads", "once, in parallel,", "frozen"), 190.0),
    (HYBRID, ("Projector", "into the small", "model's space"), 190.0),
    (SLM, ("SLM writes", "every token through", "the small model"), 190.0),
    _ANSWER,
)


CSS = """
svg { display: block; margin: 0.5rem auto; color: var(--st-text-color); font-family: var(--st-font); }
.narrow { display: none; }
@media (max-width: 640px) { .wide { display: none; } .narrow { display: block; } }
"""


def _drawing() -> str:
    """SVG with text in the page's own colour; one of the two drawings is shown, by the page's width."""
    wide = (
        _titled("LLM alone", 20, 26, LLM, _lane((75, 90), (282, 0), _ALONE, 92)),
        _titled("Hybrid", 20, 186, HYBRID, _lane((75, 250), (211, 0), _BOTH, 92)),
    )
    narrow = (
        _titled("LLM alone", 8, 22, LLM, _lane((88, 74), (0, 122), _ALONE, 84)),
        _titled("Hybrid", 196, 22, HYBRID, _lane((272, 74), (0, 122), _BOTH, 84)),
    )
    return _svg("wide", 1000, 310, wide) + _svg("narrow", 360, 620, narrow)


def _svg(name: str, width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg class="{name}" role="img" aria-label="{ALT}" viewBox="0 0 {width} {height}" '
        f'width="100%" style="max-width:{width}px" font-size="15" fill="currentColor">{"".join(parts)}</svg>'
    )


def _titled(title: str, x: float, y: float, color: str, boxes: Sequence[Box]) -> str:
    heading = f'<text x="{x}" y="{y}" font-size="18" font-weight="600" fill="{color}">{title}</text>'
    arrows = (_arrow(a, b) for a, b in pairwise(boxes))
    return heading + "".join(map(_box, boxes)) + "".join(arrows)


def _box(box: Box) -> str:
    width = min(box.width, 166) if box.height == 84 else box.width
    left, top = box.x - width / 2, box.y - box.height / 2
    frame = (
        f'<rect x="{left}" y="{top}" width="{width}" height="{box.height}" rx="10" '
        f'fill="{faded(box.color, 0.12)}" stroke="{box.color}" stroke-width="2"/>'
    )
    return frame + "".join(_lines(box))


def _lines(box: Box) -> Iterator[str]:
    first = box.y - (len(box.lines) - 1) * LINE / 2 + 5
    for number, line in enumerate(box.lines):
        weight = 600 if number == 0 else 400
        y = first + number * LINE
        yield f'<text x="{box.x}" y="{y}" text-anchor="middle" font-weight="{weight}">{line}</text>'


def _arrow(start: Box, end: Box) -> str:
    if start.y == end.y:
        x1, y1, x2, y2 = start.x + start.width / 2 + 5, start.y, end.x - end.width / 2 - 6, end.y
        head = f"M{x2 - 8} {y2 - 6}L{x2} {y2}L{x2 - 8} {y2 + 6}"
    else:
        x1, y1, x2, y2 = start.x, start.y + start.height / 2 + 4, end.x, end.y - end.height / 2 - 5
        head = f"M{x2 - 6} {y2 - 8}L{x2} {y2}L{x2 + 6} {y2 - 8}"
    return f'<path d="M{x1} {y1}L{x2} {y2}{head}" fill="none" stroke="{GRAY}" stroke-width="2"/>'


_draw = st.components.v2.component("hybrid_bench_method", html=_drawing(), css=CSS)


def method() -> None:
    """Draw it."""
    _draw(key="method")
