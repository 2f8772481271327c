"""The bench in the browser: `streamlit run app.py`. Router and page frame only."""

import streamlit as st

from pages.common import style

PAGES = [
    st.Page("pages/overview.py", title="Overview", icon=":material/home:", default=True),
    st.Page("pages/live.py", title="Live", icon=":material/bolt:"),
    st.Page("pages/benchmark.py", title="Benchmark", icon=":material/timer:"),
    st.Page("pages/tradeoffs.py", title="Trade-offs", icon=":material/scatter_plot:"),
    st.Page("pages/pairings.py", title="Pairings", icon=":material/grid_on:"),
    st.Page("pages/examples.py", title="Examples", icon=":material/list_alt:"),
    st.Page("pages/runs.py", title="Runs", icon=":material/folder_open:"),
]

st.set_page_config(
    page_title="Hybrid Bench",
    page_icon=style.ICON,
    layout="wide",
    menu_items={"About": "**Hybrid Bench**: a large model reads, a small model writes."},
)
st.html(style.CSS)
st.navigation(PAGES, position="top").run()
