"""Removing what is stored for good: asked once more, and told on the page that is drawn then."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import streamlit as st

from hybrid.errors import HybridError
from hybrid.store.run_lock import delete_stored
from pages.common import access
from pages.common.notes import Kind, note

STATE = st.session_state
SAID = "done-said"
Then = Callable[[Sequence[str]], object]


def draw_outcome() -> None:
    """Draw what was done last, once."""
    for text, kind in STATE.pop(SAID, ()):
        note(text, kind)


def tell(text: str, kind: Kind = "info") -> None:
    """Keep a sentence for draw_outcome()."""
    STATE[SAID] = [*STATE.get(SAID, ()), (text, kind)]


def damaged(names: Sequence[str]) -> None:
    """Draw a choice of what is stored and cannot be read, and a button that deletes it."""
    if not names or access.refusal():
        return
    key = sha256("\n".join(names).encode()).hexdigest()[
        :12
    ]  # of these, so that none that is gone stays chosen
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Stored here and damaged", names, key=f"damaged-{key}", placeholder="Choose what to delete",
            width=520,
        )  # fmt: skip
        if st.button("Delete damaged", icon=":material/delete:", key="delete-damaged", disabled=not chosen):
            delete(chosen)


@st.dialog("Delete for good?", icon=":material/delete:")
def delete(names: Sequence[str], then: Then = lambda left: None) -> None:
    """Ask, naming what delete_stored() would remove. then: is given those that could not be removed."""
    st.text("\n".join(names))
    st.text("All of it is removed from the results folder. There is no way back.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep", type="primary", key="delete-cancel"):
            st.rerun()
        if st.button(f"Delete {_those(names)}", key="delete-confirm", on_click=_delete, args=(names, then)):
            st.rerun()


def _those(names: Sequence[str]) -> str:
    """Say `this run`, `3 runs`; of what lies in a folder of its own, `this file`."""
    noun = "file" if any("/" in name for name in names) else "run"
    return f"this {noun}" if len(names) == 1 else f"{len(names)} {noun}s"


def _delete(names: Sequence[str], then: Then) -> None:
    then([name for name in names if not _deleted(name)])


def _deleted(name: str) -> bool:
    try:
        access.check()
        delete_stored(name)
    except HybridError as error:
        tell(str(error), "error")
        return False
    tell(f"{name if '/' in name else f'Run {name}'} was deleted.")
    return True
