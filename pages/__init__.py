"""The pages, and what they share. Only app.py and these modules import streamlit.

Beside a folder named pages Streamlit takes every file in it for a page, until st.navigation is
called: a link to a page, asked of a server that nobody has visited yet, would show it without
its frame. So the first import, whoever makes it, ends that and has the visit begin anew.
"""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    st.rerun()
