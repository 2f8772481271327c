"""One prompt, any systems side by side: what does it feel like?"""

import streamlit as st

from hybrid.errors import HybridError
from pages import _live_answer, _live_batch, _live_prompt, _live_settings
from pages._live_history import history
from pages._words import note

st.title("One prompt, side by side", anchor=False)
st.caption(
    "A large model (LLM), a small one (SLM), and the hybrid of both answer the same prompt. "
    "They are measured one after another and then replayed side by side."
)
try:
    _live_settings.complain()
    task, mode, beside = _live_settings.what()
    _live_prompt.from_link(task)
    if mode == _live_settings.ONE:
        _live_prompt.ask(task, beside)
    wanted, beside = _live_settings.who()
    if mode == _live_settings.ONE:
        with beside:
            _live_prompt.reference(task)
            problem = _live_prompt.keep_link(task)
        if problem:
            st.caption(problem)
        play = _live_answer.view(task, wanted)
    else:
        _live_batch.view(task, wanted)
        play = None
    history()
    _live_settings.engines_here()
    if play:
        play()
except HybridError as error:
    note(str(error), "error")
