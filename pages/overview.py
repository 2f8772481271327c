"""The first page: what the method is, what the newest runs say of it, and where to go from here."""

import streamlit as st

from hybrid.compare.verdict import ONE_SEED
from hybrid.format import NOTHING, capitalized, faster, percent, printable, ratio
from hybrid.presentation.runs.digest import Headline, headlines
from pages.common import caches
from pages.common.notes import NO_RUNS, note, notes
from pages.overview_parts.method import method

QUESTION = (
    "When is it worth letting a large language model only read, and a small one write? Reading a prompt is "
    "one parallel pass; writing costs a pass for every token. So the large model reads, the small one "
    "writes, and both are measured here against the large model alone."
)


def card(one: Headline) -> None:
    """One run: two numbers, the verdict, the conditions, the way to its figures."""
    entry = one.entry
    with st.container(border=True, key=f"headline-{entry.run_id}", height="stretch"):
        st.header(capitalized(faster(one.speedup)), anchor=False)
        st.text(f"{one.task}, suite {printable(entry.suite)}")
        left, right = st.columns(2, gap="small", wrap=False)
        left.metric("95 % interval", _interval(one))
        right.metric(f"{one.metric or 'Quality'} kept", percent(one.kept, 1))
        st.text(one.verdict)
        engines = ", ".join(map(printable, entry.engines[:3]))
        with st.container(key=f"small-{entry.run_id}"):
            st.text(
                f"{printable(entry.device_name)}; {engines}; batch {entry.batch_size}; "
                f"pair {printable(entry.pair)}; n = {one.n} examples; {printable(entry.created_at[:10])}"
            )
        with st.container(horizontal=True, gap="small"):
            here = {"run": entry.run_id}
            st.page_link(
                "pages/tradeoffs.py", label="Figures", icon=":material/scatter_plot:", query_params=here
            )
            st.page_link(
                "pages/examples.py", label="Its answers", icon=":material/list_alt:", query_params=here
            )


def _interval(one: Headline) -> str:
    if one.low is None or one.high is None:
        return NOTHING
    return f"{ratio(one.low)} to {ratio(one.high)}"


st.title("A large model reads, a small model writes", anchor=False)
st.markdown(QUESTION)
with st.container(horizontal=True, gap="small", key="ways"):
    st.page_link("pages/live.py", label="Try it live", icon=":material/bolt:")
    st.page_link("pages/tradeoffs.py", label="Is it worth it?", icon=":material/scatter_plot:")
method()
st.header("What the newest runs say", anchor=False)
place = st.empty()
found = caches.catalog()
if found.entries:
    place.caption("Reading the newest runs …")
said = headlines(found.entries, caches.digest)
place.empty()
if said:
    st.caption(
        "The hybrid against the LLM alone, end to end, in the engine in which the LLM answers soonest there: "
        "the median of paired ratios over the suite's examples. Kept is the hybrid's share of the LLM's "
        "score on the same texts. The gate is MLPerf Inference's, 99 % of the quality and 90 % of the "
        f"length: met, or missed, where the whole interval lies on one side. {ONE_SEED}"
    )
    for column, one in zip(st.columns(len(said), gap="medium"), said, strict=True):
        with column:
            card(one)
elif found.entries:
    note(
        "No complete run here has both the hybrid and the LLM. The Benchmark page measures them side by side."
    )
else:
    note(NO_RUNS)
notes(found.problems)
