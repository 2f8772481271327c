"""Sentences on a page. What comes from elsewhere, as a run's names, prompts and answers do, is plain text."""

import re
from hashlib import sha256
from typing import Literal

import streamlit as st

from hybrid.schema import Event, Notice

NO_RUNS = "There are no runs yet. Measure one on the Benchmark page, or with `hybrid bench everyday-en-de`."
Kind = Literal["info", "warning", "error"]
ICONS = {"info": ":material/info:", "warning": ":material/warning:", "error": ":material/error:"}


# Where GitHub's Markdown, and so Streamlit's, would take a text for an address: http://, www. and me@.
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)", re.IGNORECASE)
_WORD_JOINER = "\u2060"  # shows as nothing and breaks no line


def plain(text: str) -> str:
    """Markdown that shows `text` as it is, for labels of widgets; else draw it with st.text or small()."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", _ADDRESS.sub(_WORD_JOINER, text))


def small(*texts: str) -> None:
    """Draw texts small and grey, as a caption does, which would read them as Markdown."""
    for text in dict.fromkeys(texts):
        with st.container(key=_key("small", text)):
            st.text(text)


def note(text: str, kind: Kind = "info") -> None:
    """Draw a box with one sentence, which may hold names from elsewhere: it is never read as Markdown."""
    with st.container(key=_key(f"note-{kind}", text), horizontal=True, gap="small", wrap=False):
        st.markdown(ICONS[kind], width="content")
        st.text(text)


def tell(event: Event) -> None:
    """Draw what the library has to say beside its result."""
    if isinstance(event, Notice):
        note(event.sentence, "warning")


def notes(texts: list[str] | tuple[str, ...], kind: Kind = "warning") -> None:
    """One box for one sentence; several are folded away behind their number."""
    if len(texts) < 2:
        for text in texts:
            note(text, kind)
        return
    with st.expander(f"{len(texts)} things to know before believing these numbers", icon=ICONS[kind]):
        for text in texts:
            st.text(text)


def _key(kind: str, text: str) -> str:
    """Give the same for the same sentence, so that it stays where it is when the page is drawn again."""
    return f"{kind}-{sha256(text.encode('utf-8', 'replace')).hexdigest()[:12]}"
