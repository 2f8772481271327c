"""One prompt, any systems side by side: what does it feel like?"""

from collections.abc import Callable

import streamlit as st

from hybrid.errors import HybridError
from pages.common.access import refusal
from pages.common.notes import note
from pages.live_parts import answer, batch, prompt, settings
from pages.live_parts.history import history

st.title("One prompt, side by side", anchor=False)
st.caption(
    "A large model (LLM), a small one (SLM), and the hybrid of both answer the same prompt. "
    "They are measured one after another and then replayed side by side."
)
if why := refusal():  # every answer is measured anew, on this machine
    note(why)
    st.stop()
play: Callable[[], None] | None = None
try:
    settings.complain()
    task, mode, beside = settings.what()
    prompt.from_link(task)
    if mode == settings.ONE:
        prompt.ask(task, beside)
    engine_request, beside = settings.who()
    if mode == settings.ONE:
        with beside:
            prompt.reference(task)
            problem = prompt.keep_link(task)
        if problem:
            st.caption(problem)
        play = answer.view(task, engine_request)
    else:
        batch.view(task, engine_request)
    history()
    settings.engines_here()
    if play is not None:
        play()
except HybridError as error:
    note(str(error), "error")
