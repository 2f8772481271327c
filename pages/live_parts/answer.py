"""One prompt's answers on the Live page: measured, then replayed side by side."""

from collections.abc import Callable, Iterable, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from hybrid.errors import BusyError, HybridError, PromptTooLong
from hybrid.live import Frame, frames, measure_all, paced, remarks, verdict, whole
from hybrid.live.history import summarize
from hybrid.live.model_cache import EngineRequest
from pages.common.notes import note, plain, small
from pages.live_parts import models
from pages.live_parts.cards import card, places
from pages.live_parts.comparison import Answered, beside, controls
from pages.live_parts.history import remember
from pages.live_parts.prompt import run

STATE = st.session_state
ALL = {2: "both", 3: "all three", 4: "all four", 5: "all five", 6: "all six"}


def view(task: str, engine_request: EngineRequest) -> Callable[[], None]:
    """Draw the line above the cards, the cards, and what explains them; returns what shows the answers.

    That may take its time, so it is for the end of the page.
    """
    line, below = st.empty(), st.container()
    cards = places(engine_request.systems)
    previous: Answered | None = STATE.get(f"answered-{task}")
    if not previous or previous.engine_request != engine_request:
        for place, system in zip(cards, engine_request.systems, strict=True):
            card(place, system, None)
    try:
        answered = _answered(task, engine_request, line)
    except PromptTooLong as error:
        with line.container():
            note(str(error), "warning")
        below.button(f"Answer only its first {error.limit} tokens", on_click=run, args=(task, True))
    except BusyError as error:
        with line.container():
            note(str(error), "warning")
        below.button("Try again")  # any touch asks again: what was asked is still in STATE
    except HybridError as error:
        with line.container():
            note(str(error), "error")
    else:
        if answered:
            line.header(verdict(answered.answers), anchor=False)
            return _show_answers(answered, cards, below)
    return lambda: None


def _answered(task: str, engine_request: EngineRequest, line: DeltaGenerator) -> Answered | None:
    """Every system's measured answer, from the session when it is there; None when nothing was asked."""
    key, request = f"answered-{task}", STATE.get(f"request-{task}")
    previous: Answered | None = STATE.get(key)
    if previous and previous.engine_request == engine_request and previous.request == request:
        return previous

    def say(sentence: str) -> None:
        line.header(plain(sentence), anchor=False)  # never given a prompt or an answer

    loaded = models.load(engine_request, say)
    if request is None:
        systems = engine_request.systems
        say(f"Press Run to let {ALL.get(len(systems), systems[0].label)} answer.")
        return None
    notices = loaded.notices(request)
    say("Measuring one system after another …")
    with models.fair_lock().held(lambda before: say(f"Waiting for {before} before you …")):
        answers = measure_all(loaded.systems, request)
    conditions = (loaded.conditions, *loaded.notes)
    answered = STATE[key] = Answered(engine_request, request, answers, loaded.ran, conditions, notices)
    STATE["replay"] = True
    remember(engine_request.pair, request, summarize(answers), loaded.ran)
    return answered


def _show_answers(
    answered: Answered, cards: Sequence[DeltaGenerator], below: DeltaGenerator
) -> Callable[[], None]:
    """Draw the answered cards without their texts; returns what plays or shows these."""
    with below:
        for notice in answered.notices:
            note(notice, "warning")
        small(*remarks(answered.answers))
        slowdown, against = controls(answered)
    redraw = {
        system: card(place, system, answered.answers, beside(answered, system, against))
        for place, system in zip(cards, answered.answers, strict=True)
    }
    small(*answered.conditions)
    replay: Iterable[Frame] = [whole(answered.answers)]
    if STATE.pop("replay", False):
        loaded = models.load(answered.engine_request, lambda _: None)
        replay = frames(answered.answers, loaded.decode, slowdown)

    def play() -> None:
        for frame in paced(replay):
            for system, shown in frame.shown.items():
                redraw[system](shown)

    return play
