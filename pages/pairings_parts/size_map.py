"""The map of sizes, and what it depends on beside the sizes."""

import streamlit as st

from hybrid.format import printable
from hybrid.presentation.pairings.cells import PairCell
from hybrid.presentation.pairings.measured import quality, quality_runs, trained_pairs
from hybrid.presentation.pairings.metrics import Terms
from hybrid.presentation.pairings.size_map import map_figure
from hybrid.presentation.pairings.sources import Sources
from pages.common import caches
from pages.common.figure import figure
from pages.pairings_parts.controls import Choices, pick


def draw(choices: Choices, cells: tuple[PairCell, ...], terms: Terms, chosen: tuple[str, str]) -> None:
    """Draw the map, above it what it says, below it the table. chosen: the pair that is framed."""
    drawing = map_figure(choices.show, choices.device, cells, terms, chosen)
    figure("map", drawing, on_pick=lambda key: pick(choices, key))


def terms_of(choices: Choices, known: Sources) -> Terms:
    """Price and quality; asks for the suite where several were answered and quality is shown."""
    pairs = trained_pairs(known.shapes)
    untold = Terms(choices.price, dict.fromkeys(pairs))
    runs = quality_runs(caches.catalog().entries, known.shapes)
    suites = list(dict.fromkeys(run.suite for run in runs))
    if not suites:
        return untold
    suite = suites[0]
    if choices.show == "quality":
        suite = st.selectbox(
            "Suite", suites, format_func=printable, key="quality-suite", bind="query-params",
            persist_state="session", width=360,
        )  # fmt: skip
    of_suite = [run for run in runs if run.suite == suite]
    return Terms(
        choices.price,
        {names: quality(of_suite, choices.device, pair, caches.digest) for names, pair in pairs.items()},
    )
