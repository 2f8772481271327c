"""What the chosen runs say beside each other: verdicts, warnings, a table, a figure of speed-ups."""

from collections.abc import Sequence

import streamlit as st

from hybrid.errors import HybridError
from hybrid.format import printable
from hybrid.presentation.charts import color_of
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.comparison_view import (
    ComparisonRow,
    comparison_rows,
    numbered,
    plain_summary,
    score_tables,
    speed_drawing,
    table,
)
from hybrid.schema import BASELINE
from pages.common import caches
from pages.common.caches import Compared
from pages.common.figure import figure, show
from pages.common.notes import note, notes

MOST = 8  # runs that are compared at once
MOST_OPEN = 5  # warnings that are read without a click


def comparison(chosen: Sequence[Entry]) -> Compared | None:
    """Draw the choice of a baseline, and compare the first MOST runs; None, and why, where that cannot be."""
    entries = chosen[:MOST]
    if len(chosen) > MOST:
        note(f"The first {MOST} of {len(chosen)} chosen runs are compared.")
    baseline = _baseline(entries)
    line = st.empty()
    line.caption("Comparing …")
    try:
        return caches.compared([entry.run_id for entry in entries], baseline)
    except HybridError as error:  # no answers, no common example, different tasks, a damaged file
        note(str(error), "error")
        return None
    finally:
        line.empty()


def _baseline(entries: Sequence[Entry]) -> str:
    """Draw and give what the others are compared with: a system, or that of a certain run."""
    systems = list(dict.fromkeys(system for entry in entries for system in entry.systems))
    systems.sort(key=lambda system: system != BASELINE)
    options: dict[str, str] = {printable(system.label): system for system in systems}
    if len(entries) > 1:
        options |= {
            f"{printable(system.label)} of {entry.run_id}": f"{entry.run_id}:{system}"
            for entry in entries
            for system in entry.systems
        }
    named = st.selectbox(
        "Compared with", list(options), key="baseline", bind="query-params", width=520,
        help="Each system is set against this one of its own run, or of the run that is named, on the "
        "examples that both have answered.",
    )  # fmt: skip
    return options[named]


def draw(compared: Compared) -> None:
    """Draw what to beware of, verdicts, the table, the figure."""
    comparison, runs = compared
    systems = comparison_rows(comparison)
    if len(comparison.warnings) <= MOST_OPEN:
        for warning in comparison.warnings:
            note(warning, "warning")
    else:
        notes(comparison.warnings, "warning")
    if len(runs) > 1:
        for line in numbered(runs):
            st.text(line)
    st.subheader("What it comes to", anchor=False)
    _verdicts([*systems, *comparison_rows(comparison, trivial=True)])
    st.subheader("The numbers", anchor=False)
    show(table(systems), key="compared")
    st.caption(
        "[low, high] is a 95 % interval over examples, of speed-ups over blocks, too; times are medians over "
        "all answers; speed-ups are medians of paired ratios, above 1 is faster."
    )
    with st.expander("Every score, check and difference"):
        for number, (title, cells) in enumerate(score_tables(comparison)):
            st.text(title)
            show(cells, key=f"scores-{number}")
    for remark in comparison.remarks:
        st.caption(remark)
    if any(row.compared.against for row in systems):
        st.subheader("How much faster?", anchor=False)
        figure("speed-ups", speed_drawing(systems))


def _verdicts(systems: Sequence[ComparisonRow]) -> None:
    """For each system a sentence for everyone, and the exact one below it, beside the system's colour."""
    colors = [color_of(row.compared.summary.system) for row in systems]
    rules = (f".st-key-verdict-{n} {{ border-color: {color}; }}" for n, color in enumerate(colors))
    every = '[class*="st-key-verdict-"] { border-left: 0.3rem solid; padding-left: 0.75rem; }'
    st.html(f"<style>{every}\n{chr(10).join(rules)}</style>")
    for number, row in enumerate(systems):
        with st.container(key=f"verdict-{number}", gap=None):
            st.text(plain_summary(row, systems))
            with st.container(key=f"small-{number}"):
                st.text(row.compared.verdict)
