"""The bench in the browser: `hybrid app`, or `streamlit run app.py`. Server, router and page frame only."""

import streamlit as st
from starlette.middleware import Middleware

from pages.common import style
from pages.common.guard import Guard, announced

PAGES = {
    "overview": ("Overview", ":material/home:"),
    "live": ("Live", ":material/bolt:"),
    "benchmark": ("Benchmark", ":material/timer:"),
    "tradeoffs": ("Trade-offs", ":material/scatter_plot:"),
    "pairings": ("Pairings", ":material/grid_on:"),
    "examples": ("Examples", ":material/list_alt:"),
    "runs": ("Runs", ":material/folder_open:"),
}


def draw() -> None:
    """Draw the page that a visitor has opened."""
    pages = [
        st.Page(f"pages/{name}.py", title=title, icon=icon, default=name == "overview")
        for name, (title, icon) in PAGES.items()
    ]
    st.set_page_config(
        page_title="Hybrid Bench",
        page_icon=style.ICON,
        layout="wide",
        menu_items={"About": "**Hybrid Bench**: a large model reads, a small model writes."},
    )
    st.html(style.CSS)
    st.navigation(pages, position="top").run()


if __name__ == "__main__":  # for every visit, again and again
    draw()
else:  # once, by the server
    app = st.App(__file__, middleware=[Middleware(Guard)], lifespan=announced)
