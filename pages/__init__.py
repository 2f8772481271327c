"""The pages, and what they share. Only app.py and these modules import streamlit.

Beside an app, a folder of this name also has another meaning for Streamlit: every
file in it would be a page by itself, around the router, until that has run once. Each
server imports this file with app.py, before anybody visits, and that is switched off.
"""

from streamlit.runtime.pages_manager import PagesManager

PagesManager.uses_pages_directory = False
