"""The bench in the browser: `streamlit run app.py`. Router and page frame only."""

import streamlit as st

from pages import _style

PAGES = [
    st.Page("pages/live.py", title="Live", icon=":material/bolt:", default=True),
]

st.set_page_config(
    page_title="Hybrid Bench",
    page_icon=_style.ICON,
    layout="wide",
    menu_items={"About": "**Hybrid Bench**: a large model reads, a small model writes."},
)
st.html(_style.CSS)
st.navigation(PAGES, position="top").run()
