"""The map of sizes: cells as squares, drawn with their table."""

import streamlit as st

from hybrid.format import printable
from hybrid.models.shapes import Shape
from hybrid.presentation.charts.pairings import Square, axis_name, heat_map, scale_ticks
from hybrid.presentation.views.pairings.cells import PairCell, parameters
from hybrid.presentation.views.pairings.numbers import (
    SHOWS,
    Terms,
    lines,
    look,
    on_cell,
    sentence,
    table,
    tick,
)
from hybrid.presentation.views.pairings.quality import quality, quality_runs, trained_pair
from hybrid.presentation.views.pairings.sources import Sources
from pages.common import store
from pages.common.figure import figure
from pages.pairings_parts.controls import Asked, pick


def draw(wanted: Asked, cells: tuple[PairCell, ...], terms: Terms, chosen: tuple[str, str]) -> None:
    """The map, above it what it says, below it the table. chosen: the pair that is framed."""
    show = SHOWS[wanted.show]
    squares = [_square(wanted, cell, terms) for cell in cells]
    names = [_names(cells, which) for which in ("slm", "llm")]
    told = {value: tick(wanted.show, value) for value in scale_ticks(squares, show.scale)}
    place = wanted.slms.index(chosen[1]), wanted.llms.index(chosen[0])
    figure(
        "map", heat_map(squares, (names[0], names[1]), show.scale, told, place),
        sentence(wanted.show, wanted.device, cells, terms), table(wanted.device, cells, terms),
        on_pick=lambda key: pick(wanted, key),
    )  # fmt: skip


def terms_of(wanted: Asked, known: Sources) -> Terms:
    """Price and quality; asks for the suite where several were answered and quality is shown."""
    pair = trained_pair(known.shapes)
    if pair is None:
        return Terms(wanted.price)
    runs = quality_runs(store.catalog().entries, known.shapes)
    suites = list(dict.fromkeys(run.suite for run in runs))
    if not suites:
        return Terms(wanted.price)
    suite = suites[0]
    if wanted.show == "quality":
        suite = st.selectbox(
            "Suite", suites, format_func=printable, key="quality-suite", bind="query-params",
            persist_state="session", width=360,
        )  # fmt: skip
    return Terms(
        wanted.price, quality([run for run in runs if run.suite == suite], wanted.device, pair, store.digest)
    )


def _square(wanted: Asked, cell: PairCell, terms: Terms) -> Square:
    kind = look(wanted.show, cell, terms)
    value = SHOWS[wanted.show].number(cell, terms)
    place = wanted.slms.index(cell.slm.name), wanted.llms.index(cell.llm.name)
    text = on_cell(wanted.show, cell, terms)
    return Square(*place, kind, value, text, lines(wanted.show, cell, terms))


def _names(cells: tuple[PairCell, ...], which: str) -> list[str]:
    """Of columns or rows, as an axis shows them."""
    shapes: dict[str, Shape] = {(one := getattr(cell, which)).name: one for cell in cells}
    return [axis_name(one.name, parameters(one), narrow=which == "slm") for one in shapes.values()]
