"""One prompt, all systems side by side: what does it feel like?"""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from hybrid.errors import BusyError, HybridError, PromptTooLong
from hybrid.live import Answers, Request, frames, measure_all, paced, remarks, verdict, whole
from hybrid.schema import SYSTEMS, TASKS, Sampling
from pages import _state
from pages._cards import card, places
from pages._prompts import EXAMPLES

SLOWDOWNS = {1: "real time", 4: "4× slower", 10: "10× slower"}
STATE = st.session_state


def ask() -> tuple[str, DeltaGenerator]:
    """The controls; returns the task and a place for the choice of a pair."""
    first = next(iter(TASKS))
    with st.container(horizontal=True, vertical_alignment="center"):
        task = st.segmented_control(
            "Task", list(TASKS), default=first, format_func=lambda name: TASKS[name].label,
            required=True, key="task", bind="query-params", label_visibility="collapsed",
        ) or first  # fmt: skip
        prompt = f"prompt-{task}"
        STATE.setdefault(prompt, next(iter(EXAMPLES[task].values())))
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.caption("Try", width="content")
            for label, text in EXAMPLES[task].items():
                key = f"example-{task}-{label}"
                st.button(label, key=key, on_click=_example, args=(task, text), type="tertiary")
        pair = st.container(width=200)
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    left.text_area("Prompt", key=prompt, height=146, on_change="ignore", persist_state="session")
    right.number_input(
        "Max new tokens", 1, 512, 128, key="limit", on_change="ignore", persist_state="session"
    )
    right.button("Run", type="primary", shortcut="Mod+Enter", on_click=_run, args=(task,), width="stretch")
    return task, pair


def _example(task: str, text: str) -> None:
    STATE[f"prompt-{task}"] = text
    STATE.pop(f"request-{task}", None)
    _forget(task)


def _set(key: str, value: object) -> None:
    STATE[key] = value


def _run(task: str, truncate: bool = False) -> None:
    """Remember what was asked; it is answered further down in the same run of the page."""
    sampling = Sampling(STATE["limit"], truncate=truncate)
    STATE[f"request-{task}"] = Request(task, STATE[f"prompt-{task}"], sampling)
    _forget(task)


def _forget(*tasks: str) -> None:
    for task in tasks:
        STATE.pop(f"answers-{task}", None)


def say(sentence: str) -> None:
    """The one line above the cards: progress, then the verdict. Never given a prompt or an answer."""
    line.header(sentence, anchor=False)


def loaded(place: DeltaGenerator) -> _state.Bench:
    """The chosen pair, the first at first, with a choice in `place` when there are several."""
    names = list(_state.pairs(say))
    if len(names) > 1:
        place.selectbox(
            "Pair", names, format_func="Pair {}".format, key="pair", on_change=_forget,
            args=tuple(TASKS), persist_state="session", label_visibility="collapsed",
        )  # fmt: skip
        return _state.bench(STATE["pair"], say)
    return _state.bench(names[0] if names else None, say)


def answer(bench: _state.Bench, request: Request) -> Answers:
    """Every system's measured answer to the request, from the session when it is there."""
    key = f"answers-{request.task}"
    if key not in STATE:
        say("Measuring one system after another …")
        with _state.inference_lock():
            STATE[key] = measure_all(bench.engines, request)
        STATE["replay"] = True
    answers: Answers = STATE[key]
    return answers


def replay_controls() -> int:
    """How many times slower than measured the replay runs; any touch starts it again."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("Replayed at measured pace", width="content")
        slowdown: int = st.segmented_control(
            "Replay speed", list(SLOWDOWNS), default=4, format_func=SLOWDOWNS.__getitem__, required=True,
            key="slowdown", on_change=_set, args=("replay", True), persist_state="session",
            label_visibility="collapsed",
        )  # fmt: skip
        st.button("Again", icon=":material/replay:", on_click=_set, args=("replay", True))
    return slowdown


st.title("One prompt, three systems", anchor=False)
st.caption(
    "A large model (LLM), a small one (SLM), and the hybrid of both answer the same prompt. "
    "They are measured one after another and then replayed side by side."
)
task, pair_place = ask()
line = st.empty()
below = st.container()
cards = places()
if f"answers-{task}" not in STATE:
    for system in SYSTEMS:
        card(cards[system], system, None)
try:
    bench = loaded(pair_place)
    request = STATE.get(f"request-{task}")
    if request is None:
        say("Press Run to let all three answer.")
        st.stop()
    for notice in bench.notices(request):
        below.warning(notice)
    answers = answer(bench, request)
except PromptTooLong as error:
    line.warning(str(error))
    below.button(f"Answer only its first {error.limit} tokens", on_click=_run, args=(task, True))
    st.stop()
except BusyError as error:
    line.warning(_state.plain(str(error)))
    below.button("Try again")  # any touch asks again: what was asked is still in STATE
    st.stop()
except HybridError as error:
    line.error(str(error))
    st.stop()
say(verdict(answers))
with below:
    for remark in remarks(answers):
        st.caption(remark)
    slowdown = replay_controls()
redraw = {system: card(cards[system], system, answers) for system in SYSTEMS}
st.caption(bench.conditions)
replay = frames(answers, bench.decode, slowdown) if STATE.pop("replay", False) else [whole(answers)]
for frame in paced(replay):
    for system, shown in frame.shown.items():
        redraw[system](shown)
