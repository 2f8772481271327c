"""Every answer of a stored run beside the reference: where does it fail?"""

import io
from dataclasses import replace

import streamlit as st

from hybrid.errors import StoreError
from hybrid.format import printable
from hybrid.metrics import METRICS
from hybrid.presentation.examples.arrangement import ORDERS, Examples, Places, Query, find
from hybrid.presentation.examples.cards import cards, columns, rows
from hybrid.presentation.runs.catalog import Entry
from hybrid.store.tables import write_csv
from pages.common import caches
from pages.common.notes import NO_RUNS, note, notes
from pages.examples_parts.cards import draw
from pages.examples_parts.controls import (
    PAGE_SIZES,
    STATE,
    Chosen,
    choose_domain,
    choose_fault,
    choose_run,
    clear_filters,
    controls,
    first_page,
)

PRIVATE = (
    "This run is private: it was stored with the times, lengths and scores of its answers, and without any "
    "source, reference or answer, so that there are no examples to show. All other pages work from it."
)


def one_example(examples: Examples, chosen: Chosen, example_id: str) -> None:
    """Draw the example that the URL names, alone."""
    place = examples.place(example_id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Show all examples", icon=":material/arrow_back:", on_click=_choose, args=(None,))
        st.text("The address of this page leads to this example.")
    if place is None:
        note(f"There is no example {printable(example_id)} with an answer in this run.", "warning")
        return
    card = cards(examples, [place], chosen.query.systems, chosen.against)
    draw(card, examples.metric, chosen.missing, 0, None)


def matches(examples: Examples, chosen: Chosen, query: Query) -> None:
    """All examples that match, some of them at a time."""
    places = find(examples, query)
    if not len(places):
        note(f"None of the {len(examples.ids):,} examples matches these filters.")
        st.button("Clear the filters", icon=":material/filter_alt_off:", on_click=clear_filters)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(_summary(examples, query, len(places)), width="content")
        st.space("stretch")
        size: int = st.selectbox(
            "Examples a page", PAGE_SIZES, format_func="{} a page".format, key="size", bind="query-params",
            label_visibility="collapsed", width=130, on_change=first_page,
        )  # fmt: skip
        st.download_button(
            "CSV", lambda: _csv(examples, places, query), "examples.csv", "text/csv", on_click="ignore",
            help="Every answer of these systems to all that match",
        )  # fmt: skip
    pages = -(-len(places) // size)
    page = st.pagination(pages, key="page", bind="query-params") if pages > 1 else 1
    some = places[(page - 1) * size : page * size].tolist()
    draw(cards(examples, some, query.systems, chosen.against), examples.metric, chosen.missing, page, _choose)
    if pages > 1:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="center"):
            st.button("Previous", on_click=_turn, args=(page - 1,), disabled=page == 1)
            st.text(f"Page {page:,} of {pages:,}", width="content")
            st.button("Next", on_click=_turn, args=(page + 1,), disabled=page == pages)


def _summary(examples: Examples, query: Query, count: int) -> str:
    """How many match, and which come first."""
    of = "" if count == len(examples.ids) else f" of {len(examples.ids):,}"
    summary = f"{count:,}{of} {'example' if len(examples.ids) == 1 else 'examples'}"
    if query.order == "id":
        return f"{summary} in the order of the suite."
    return f"{summary}: {ORDERS[query.order].label.lower()} first, by {printable(query.system.label)}."


def _csv(examples: Examples, places: Places, query: Query) -> bytes:
    file = io.BytesIO()
    write_csv(file, columns(examples), rows(examples, places, query.systems))
    return file.getvalue()


def _choose(example_id: str | None) -> None:
    if example_id is None:
        st.query_params.pop("example", None)
    else:
        st.query_params["example"] = example_id


def _turn(page: int) -> None:
    STATE["page"] = page


def remarks(examples: Examples, entry: Entry) -> str:
    """Draw what to know of the figures below."""
    parts = []
    if examples.metric:
        name = METRICS[examples.metric].label
        parts.append(f"{name} is of each answer alone, rough for a single text: it finds, it proves nothing.")
    elif entry.fixed_length:
        parts.append("Answers of a fixed length have no scores.")
    if examples.repeats > 1:
        parts.append(f"Times are medians over {examples.repeats} repeats, texts those of the first.")
    if entry.batch_size > 1:
        parts.append(f"Times are those of whole batches of up to {entry.batch_size}.")
    return " ".join(parts)


st.title("Where does it fail?", anchor=False)
st.caption("Source, reference and the answers of all systems side by side, the worst first.")
catalog = caches.catalog()
notes(catalog.problems)
if not catalog.entries:
    note(NO_RUNS)
    st.stop()
entry = choose_run(catalog.entries)
if entry.private:
    note(PRIVATE)
    st.stop()
chosen = controls(entry)
place = st.empty()
try:
    examples = caches.examples(entry, place.text)
except StoreError as error:
    place.empty()
    note(str(error), "error")
    st.stop()
place.empty()
notes(examples.table.attrs.get("problems", []))
if not examples.ids:
    note("This run has no answers yet. They appear here as they are measured.")
    st.stop()
domain = choose_domain(chosen.domain, examples.domains)
fault = choose_fault(chosen.fault, examples.checks) if examples.checks else None
query = replace(chosen.query, domain=domain, fault=fault)
st.caption(remarks(examples, entry))
if example_id := st.query_params.get("example"):
    one_example(examples, chosen, example_id)
else:
    matches(examples, chosen, query)
