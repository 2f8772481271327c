"""The first page: the best run of each task, what the method is, and where to go from here."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from hybrid.compare.verdict import ONE_SEED
from hybrid.format import NOTHING, capitalized, faster, percent, printable, ratio
from hybrid.metrics import main_metric
from hybrid.models.manifest import available_pairs
from hybrid.presentation.claims import ClaimRow
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.digest import Headline, able, headline_of, headlines, machines
from hybrid.presentation.runs.evidence import best_evidence, in_words, side_by_side, table
from pages.common import caches
from pages.common.notes import NO_RUNS, note, notes, plain, small
from pages.overview_parts.method import method

QUESTION = (
    "When is it worth letting a large language model only read, and a small one write? Reading a prompt is "
    "one parallel pass; writing costs a pass for every token. So the large model reads, the small one "
    "writes, and both are measured here against the large model alone."
)

MOST_WARNINGS, LONGEST_WARNING = 2, 400  # of a run, on its card; all of them are on the page of its figures


def card(headline: Headline, machine: str) -> None:
    """One run: two numbers, the verdict, the conditions, the way to its figures."""
    entry = headline.entry
    with st.container(border=True, key=f"headline-{entry.run_id}", height="stretch"):
        st.header(_title(headline), anchor=False)
        quick = ", quick run" if headline.quick else ""
        st.text(f"{printable(headline.task)}, suite {printable(entry.suite)}{quick}")
        left, right = st.columns(2, gap="small", wrap=False)
        left.metric("Speed-up" if headline.unbeaten else "95 % interval", _interval(headline))
        right.metric(plain(f"{headline.metric or 'Quality'} kept"), percent(headline.quality_kept, 1))
        st.text(headline.verdict)
        warnings = [printable(warning, LONGEST_WARNING) for warning in headline.warnings[:MOST_WARNINGS]]
        if entry.busy:  # which is the first one
            note(warnings.pop(0), "warning")
        with st.container(key=f"small-{entry.run_id}"):
            st.text(
                f"{printable(machine, LONGEST_WARNING)}; {printable(entry.engines[0])}; "
                f"batch {entry.batch_size}; pair {printable(entry.pair)}; n = {headline.n} examples; "
                f"{printable(entry.created_at[:10])}"
            )
            for warning in warnings:
                st.text(warning)
        ways(entry)


def ways(entry: Entry) -> None:
    """Link to a run's figures and answers."""
    with st.container(horizontal=True, gap="small"):
        here = {"run": entry.run_id}
        st.page_link("pages/tradeoffs.py", label="Figures", icon=":material/scatter_plot:", query_params=here)
        st.page_link("pages/examples.py", label="Its answers", icon=":material/list_alt:", query_params=here)


def claim_card(row: ClaimRow, number: int) -> None:
    """One claim: what it says, what it comes to, the way to the figures of its run."""
    with st.container(border=True, key=f"claim-{number}"):
        outcome = (row.outcome or "cannot be told").capitalize()
        if row.unbeaten:  # then its speed is no merit
            outcome = f"No better than {row.unbeaten}. {outcome}"
        st.text(f"{outcome}: {printable(row.says, LONGEST_WARNING)}")
        with st.container(key=f"small-claim-{number}"):
            st.text(printable(row.sentence, LONGEST_WARNING))
        if row.run_id:
            st.page_link(
                "pages/tradeoffs.py", label="Figures", icon=":material/scatter_plot:",
                query_params={"run": row.run_id},
            )  # fmt: skip


def _interval(headline: Headline) -> str:
    if headline.low is None or headline.high is None:
        return NOTHING
    return f"{ratio(headline.low)} to {ratio(headline.high)}"


def evidence(headline: Headline, entries: Sequence[Entry], counts: Mapping[str, int | None]) -> None:
    """Draw a task's best run, or the one that was pinned: its systems side by side, and what they say."""
    task = headline.entry.task
    with st.container(border=True, key=f"headline-{task.name}", height="stretch"):
        top, pin = st.columns([5, 2], vertical_alignment="center", wrap=False)
        runs = [entry.run_id for entry in entries if entry.task == task and able(entry)]
        with pin.popover("Another run", width="stretch"):
            # Its id alone: in the address stands what is shown.
            pinned = st.selectbox(
                "Run", runs, runs.index(headline.entry.run_id), key=f"pin-{task.name}", bind="query-params",
                help="It stands in the address, so that a link shows it again.",
            )  # fmt: skip
        chosen = next(entry for entry in entries if entry.run_id == pinned)
        headline = headline_of(chosen, caches.digest) or headline
        digest = caches.digest(headline.entry.run_id)
        quality = f", {percent(headline.quality_kept, 1)} of the quality" if headline.quality_kept else ""
        top.header(_title(headline, quality), anchor=False)
        entry, metric = headline.entry, main_metric(task)
        quick = ", quick run" if headline.quick else ""
        small(
            f"{printable(headline.task)}, suite {printable(entry.suite)}, n = {headline.n}{quick}; "
            f"{printable(entry.device_name)}, {printable(entry.engines[0])}; pair {printable(entry.pair)}"
        )
        facts = side_by_side(digest, counts)
        st.table(pd.DataFrame(table(facts, metric)).set_index("System"), border="horizontal")
        st.text(in_words(facts, metric, headline.unbeaten))
        if entry.busy:
            note(printable(headline.warnings[0], LONGEST_WARNING), "warning")
        ways(entry)


def _title(headline: Headline, quality: str = "") -> str:
    """Say what a run's hybrid gains; quality: what stands behind its speed."""
    if headline.unbeaten:  # then its speed is no merit
        return capitalized(f"no better than {headline.unbeaten}")
    return capitalized(f"{faster(headline.speedup)}{quality}")


st.title("A large model reads, a small model writes", anchor=False)
st.markdown(QUESTION)
place = st.empty()
catalog = caches.catalog()
if catalog.entries:
    place.caption("Reading the newest runs …")
newest = headlines(catalog.entries, caches.digest)
best = best_evidence(newest)
place.empty()
if best:
    pairs = available_pairs()
    columns = [column for _ in best[::2] for column in st.columns(2, gap="medium")]
    for column, headline in zip(columns, best, strict=False):
        with column:
            manifest = pairs.get(headline.entry.pair, {})
            evidence(headline, catalog.entries, manifest.get("parameters", {}))
elif catalog.entries:
    note(
        "No complete run here has both the hybrid and the LLM. The Benchmark page measures them side by side."
    )
else:
    note(NO_RUNS)
with st.container(horizontal=True, gap="small", key="ways"):
    st.page_link("pages/live.py", label="Try it live", icon=":material/bolt:")
    st.page_link("pages/tradeoffs.py", label="Is it worth it?", icon=":material/scatter_plot:")
st.header("How it works", anchor=False)
method()
if claimed := caches.claims():
    st.header("What is claimed", anchor=False)
    st.caption(
        "Proved where the 95 % intervals of all that is claimed lie at or above it, refuted where one lies "
        "below; a false decision has a chance of 5 % at most. Each is a file in the folder claims of results."
    )
    for number, row in enumerate(claimed):
        claim_card(row, number)
others = [headline for headline in newest if headline not in best]
if others:
    st.header("Other machines and suites", anchor=False)
    named = machines([headline.entry for headline in newest])
    for column, headline in zip(st.columns(max(len(others), 2), gap="medium"), others, strict=False):
        with column:
            card(headline, named[headline.entry.run_id])
if newest:
    st.caption(
        "The hybrid against the LLM alone, end to end, in the engine in which the LLM answers soonest there: "
        "the median of paired ratios over the suite's examples. Kept is the hybrid's share of the LLM's "
        "score on the same texts. The 99 % target is MLPerf Inference's, 99 % of the quality and 90 % "
        f"of the length: met, or missed, where the whole interval lies on one side. {ONE_SEED}"
    )
notes(catalog.problems)
