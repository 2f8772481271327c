"""The controls of the Live page that say what is asked: one prompt, its reference, and the link to it."""

from collections.abc import Mapping, MutableMapping
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from hybrid.live import Request
from hybrid.schema import Sampling
from pages.common.notes import note
from pages.live_parts import models
from pages.live_parts.examples import EXAMPLES
from pages.live_parts.link import PROMPT, address, left_out, prompt_of
from pages.live_parts.settings import limit

STATE: MutableMapping[Any, Any] = st.session_state


def from_link(task: str) -> None:
    """Fill in the prompt of the address, once a visit. Nothing runs by itself."""
    if "link-read" in STATE:
        return
    STATE["link-read"] = True
    text, sentence = prompt_of(st.query_params.get(PROMPT, ""))
    if text:
        STATE[f"prompt-{task}"] = text
    if sentence:
        STATE["link-problem"] = sentence


def ask(task: str, room: DeltaGenerator) -> None:
    """Draw the controls. room: for the examples."""
    prompt = f"prompt-{task}"
    STATE.setdefault(prompt, _first(task))
    if problem := STATE.pop("link-problem", None):
        note(problem, "warning")
    with room:
        examples = _examples(task)
        if examples:
            st.caption("Try", width="content")
        for label, text in examples.items():
            key = f"example-{task}-{label}"
            st.button(label, key=key, on_click=fill, args=(task, text), type="tertiary")
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    left.text_area("Prompt", key=prompt, height=146, on_change="ignore", persist_state="session")
    with right:
        limit()
        st.button("Run", type="primary", shortcut="Mod+Enter", on_click=run, args=(task,), width="stretch")


def reference(task: str) -> None:
    """Where the answer goes that the others are compared with, if there is one."""
    with st.popover("Reference", icon=":material/rule:"):
        st.text_area(
            "The answer that you would like to see (optional)", key=f"reference-{task}", height=120,
            on_change="ignore", persist_state="session",
        )  # fmt: skip
        st.caption("Answers are scored and marked against it after the next Run.")


def fill(task: str, text: str, reference: str = "") -> None:
    """Fill in a prompt; it is asked when Run is pressed."""
    STATE[f"prompt-{task}"], STATE[f"reference-{task}"] = text, reference
    for kind in ("request", "answered"):
        STATE.pop(f"{kind}-{task}", None)


def run(task: str, truncate: bool = False) -> None:
    """Remember what was asked; it is answered further down in the same run of the page."""
    reference = STATE.get(f"reference-{task}") or ""
    sampling = Sampling(STATE["limit"], truncate=truncate)
    STATE[f"request-{task}"] = Request(task, STATE[f"prompt-{task}"], sampling, reference)
    STATE.pop(f"answered-{task}", None)


def keep_link(task: str) -> str | None:
    """Put what was asked, or the example that was chosen, into the address; says why when it does not fit."""
    request = STATE.get(f"request-{task}")
    text = request.text if request else STATE[f"prompt-{task}"]
    base = (st.context.url or "").partition("?")[0]
    parameters = {name: st.query_params.get_all(name) for name in st.query_params}
    problem = left_out(base, parameters, text)
    carried = "" if problem or text == _first(task) else text
    if st.query_params.get(PROMPT, "") != carried:
        if carried:
            st.query_params[PROMPT] = carried
        else:
            del st.query_params[PROMPT]
    with st.popover("Link", icon=":material/link:"):
        st.caption("This address opens the page as it is asked now. It runs nothing before Run is pressed.")
        st.code(address(base, parameters, carried), language=None, wrap_lines=True)
    return problem


def _first(task: str) -> str:
    return next(iter(_examples(task).values()), "")


def _examples(task: str) -> Mapping[str, str]:
    """Give those of the task, or of a built-in one that reads English, too."""
    known = models.task(task)
    alike = "translate-en-de" if known.kind == "translation" else "summarize"
    return EXAMPLES.get(task) or (EXAMPLES[alike] if known.source_language == "en" else {})
