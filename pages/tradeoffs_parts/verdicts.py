"""The top of the Trade-offs page: what was measured and under which conditions, the verdicts, ways on."""

import streamlit as st

from hybrid.format import counted, printable
from hybrid.presentation.runs.catalog import Entry
from hybrid.presentation.runs.digest import RunDigest
from hybrid.presentation.tradeoffs.selection import ordered
from pages.common.notes import note, small

LEADS = "hybrid"  # whose verdict comes first


def verdicts(entry: Entry, digest: RunDigest, several: bool) -> None:
    """One run: its conditions and verdicts, the hybrid's first.

    Those of engines besides the plan's are folded away; of several runs, all but the hybrid's are.
    """
    with st.container(gap="xsmall", key=f"run-{entry.run_id}"):
        small(conditions(entry))
        if digest.pace:
            small(digest.pace)
        if digest.why:
            note(digest.why, "warning")
        systems = sorted(ordered(digest.verdicts), key=lambda system: system != LEADS)
        first = systems[:1] if several else [system for system in systems if "@" not in system]
        for system in first:
            st.text(digest.verdicts[system])
        others = [system for system in systems if system not in first]
        if others:
            with st.expander(f"{len(others)} more systems"):
                for system in others:
                    st.text(digest.verdicts[system])
        with st.container(horizontal=True, gap="small"):
            here = {"run": entry.run_id}
            st.page_link(
                "pages/examples.py", label="Its answers", icon=":material/list_alt:", query_params=here
            )
            st.page_link("pages/runs.py", label="Its files", icon=":material/folder_open:", query_params=here)


def conditions(entry: Entry) -> str:
    """`Run d653: everyday-en-de, n = 60 examples, pair en-de-49m-6m, engine onnx, AMD EPYC, int8 ...`"""
    engines = ", ".join(map(printable, entry.engines))
    repeats = f", {entry.repeats} repeats" if entry.repeats > 1 else ""
    length = ", fixed length" if entry.fixed_length else ""
    return (
        f"Run {entry.run_id}: {printable(entry.suite)}, n = {entry.examples:,} examples{repeats}, pair "
        f"{printable(entry.pair)}, engine{'s' * (len(entry.engines) > 1)} {engines}, "
        f"{printable(entry.device_name)}, {printable(entry.dtype)}, {counted(entry.threads, 'thread')}, "
        f"batch {entry.batch_size}"
        f"{length}{', measured on a busy machine' if entry.busy else ''}"
    )
