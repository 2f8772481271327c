"""A figure as every page shows it: the figure, what it says, and behind it table, CSV, PNG, SVG and HTML."""

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from hybrid.presentation.charts import Drawing
from hybrid.store.tables import Table
from pages.common.notes import plain, small

BEHIND = "Table and downloads"
CONFIG = {
    "displaylogo": False, "displayModeBar": "hover", "scrollZoom": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}  # fmt: skip
GROUNDS = {"light": "#fbfaf7", "dark": "#12161c"}  # of the themes, in .streamlit/config.toml
_SAVE_JS = """
export default function ({ parentElement, data }) {
  const row = parentElement.querySelector(".save");
  row.replaceChildren(...["png", "svg"].map((format) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = format.toUpperCase();
    button.onclick = () => {
      const figure = document.querySelector(`.st-key-${data.place} .js-plotly-plot`);
      figure._context.toImageButtonOptions = { format, filename: data.file, scale: 2 };
      figure.querySelector('.modebar-btn[data-title^="Download"]').click();
    };
    return button;
  }));
}
"""
_SAVE_CSS = """
.save { display: flex; gap: 0.5rem; }
button { font: inherit; font-size: 0.875rem; color: var(--st-text-color); background: transparent;
  cursor: pointer;  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, 0.5rem);
  min-height: 2.5rem; padding: 0.25rem 0.75rem; }
button:hover, button:focus-visible { color: var(--st-primary-color); border-color: var(--st-primary-color); }
"""
_save = st.components.v2.component(
    "hybrid_bench_save", html='<div class="save"></div>', css=_SAVE_CSS, js=_SAVE_JS
)


def ground() -> str:
    """Give the page's own colour, `#rrggbb`."""
    return GROUNDS.get(st.context.theme.type or "light", GROUNDS["light"])


def figure(name: str, drawing: Drawing, on_pick: Callable[[str], None] | None = None) -> None:
    """Draw one figure. name: unique on the page, letters and dashes; it also names the files.

    on_pick: called with the key of the figure's selection when a point was clicked on.
    """
    place, plot = f"figure-{name}", drawing.figure
    plot.update_layout(paper_bgcolor=ground())  # a picture of it must be readable on white paper, too
    with st.container(key=place):
        if on_pick is None:
            st.plotly_chart(plot, config=CONFIG, alt=drawing.says)
        else:
            key = f"{name}-picked"
            st.plotly_chart(
                plot, config=CONFIG, alt=drawing.says, key=key, selection_mode="points",
                on_select=lambda: on_pick(key),
            )  # fmt: skip
    small(drawing.says)
    _behind(name, plot, drawing.table)


@st.fragment  # opened by itself: the page is not drawn again
def _behind(name: str, plot: go.Figure, table: Table) -> None:
    """Draw what is behind a figure; of a page's many figures, few are opened."""
    opened = st.expander(BEHIND, icon=":material/table:", key=f"{name}-behind", on_change="rerun")
    if not opened.open:
        return
    with opened:
        show(table, key=f"{name}-table")
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            save_csv(table, name)
            html = f"{name}.html", "text/html"
            st.download_button("HTML", lambda: _html(plot), *html, on_click="ignore", key=f"{name}-html")
            data = {"place": f"figure-{name}", "file": name}
            _save(key=f"{name}-save", data=data, width="content")


def show(table: Table, key: str, height: int | None = None) -> None:
    """Draw the rows, which are plain text and numbers."""
    frame = pd.DataFrame([list(row) for row in table.rows], columns=list(table.columns))
    helps = {name: st.column_config.Column(help=plain(meaning)) for name, meaning in table.columns.items()}
    st.dataframe(frame, hide_index=True, column_config=helps, key=key, height=height or "auto")


def save_csv(table: Table, name: str, label: str = "CSV") -> None:
    """Draw a button that downloads the rows."""
    st.download_button(label, table.csv, f"{name}.csv", "text/csv", on_click="ignore", key=f"{name}-csv")


def _html(plot: go.Figure) -> bytes:
    """Write a page of its own, with all it needs in it, that can be mailed."""
    alone = go.Figure(plot).update_layout(paper_bgcolor="white", template="plotly_white")
    return str(alone.to_html(include_plotlyjs=True, full_html=True)).encode()
