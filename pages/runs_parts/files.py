"""What leaves the page and what comes to it: CSV, the report, imports."""

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from hybrid.compare import Comparison
from hybrid.errors import HybridError
from hybrid.presentation.runs.exports import complete_runs, export_csv
from hybrid.schema import Run
from hybrid.store import import_archive, import_run, write_archive
from pages.common import access
from pages.common.removal import tell
from pages.runs_parts.listing import choose_next

STATE = st.session_state
UPLOADS = "runs-uploads"


def exports(run_ids: Sequence[str]) -> None:
    """Buttons for the CSV of the chosen runs, or of all complete ones when none is chosen."""
    name = run_ids[0] if len(run_ids) == 1 else "hybrid-bench"
    for kind, records, about in (
        ("summary", False, "A row for each system of each run, as `hybrid export` writes it"),
        ("records", True, "A row for each answer, as `hybrid export --records` writes it"),
    ):
        st.download_button(
            f"{kind.title()} CSV", _csv(run_ids, records), f"{name}-{kind}.csv", "text/csv",
            on_click="ignore", key=f"export-{kind}", help=about, icon=":material/download:",
        )  # fmt: skip


def archive(run_id: str) -> None:
    """Draw a button for the run itself, as importing() takes it."""

    def make() -> BytesIO:
        file = BytesIO()
        write_archive(run_id, file)
        return file

    st.download_button(
        "Run", make, f"{run_id}.zip", "application/zip", on_click="ignore", key="archive",
        icon=":material/folder_zip:", help="Its folder as a .zip, to be imported elsewhere",
    )  # fmt: skip


def private_copy(run_id: str) -> None:
    """Draw a button that stores a copy of the run without its texts, which is chosen then."""
    if st.button(
        "Private copy", icon=":material/visibility_off:", key="private-copy",
        help="The same times, lengths and scores in a run that holds no text, to be sent to others",
    ):  # fmt: skip
        from hybrid.benchmark.private import make_private

        try:
            access.check()
            with st.status("Scoring what lacks a score, and taking the texts out …"):
                copy = make_private(run_id)
        except HybridError as error:
            tell(str(error), "error")
        else:
            tell(f"Run {copy} is a copy of run {run_id} without its texts.")
            choose_next([copy])
        st.rerun()


def report(comparison: Comparison, runs: Sequence[Run]) -> None:
    """Draw a button for the comparison as a file to mail."""

    def make() -> bytes:
        from hybrid.presentation.report import html_report  # brings a template engine and plotly.js

        return html_report(comparison, runs).encode("utf-8", "backslashreplace")

    st.download_button(
        "Report", make, "hybrid-bench-report.html", "text/html", on_click="ignore", key="report",
        icon=":material/mail:", help="One HTML file with figures, tables and conditions that loads nothing",
    )  # fmt: skip


def importing() -> None:
    """Draw a place to drop a run: a .zip of its folder, or its three files."""
    with st.popover("Import", icon=":material/upload:"):
        uploads = STATE.setdefault(UPLOADS, 0)
        uploaded = st.file_uploader(
            "A .zip of a run's folder, or its files run.json, examples.jsonl and records.jsonl",
            type=["zip", "json", "jsonl"], accept_multiple_files=True, key=f"upload-{uploads}",
            max_upload_size=200,  # MB
        )  # fmt: skip
        if st.button("Import", key="import", type="primary", disabled=not uploaded):
            with st.status("Reading and checking what was given …"):
                _import(uploaded)
            STATE[UPLOADS] += 1  # a new, empty uploader
            st.rerun()


def _import(uploaded: Sequence[UploadedFile]) -> None:
    """Each .zip is a run, and what is no .zip is the files of one; the runs are chosen then."""
    archives = [file for file in uploaded if file.name.lower().endswith(".zip")]
    loose = {file.name: file for file in uploaded if file not in archives}
    run_ids: list[str] = []
    takes = [partial(import_archive, file) for file in archives]
    if loose:
        takes.append(partial(import_run, loose))
    for take in takes:
        try:
            access.check()
            run_id, problems = take()
        except HybridError as error:
            tell(str(error), "error")
            continue
        run_ids.append(run_id)
        tell(f"Run {run_id} was imported.")
        for problem in problems:
            tell(problem, "warning")
    if run_ids:
        choose_next(run_ids)


def _csv(run_ids: Sequence[str], records: bool) -> Callable[[], BytesIO]:
    """Make what a click on the button makes: read run after run, and held once."""
    ids = list(run_ids)

    def make() -> BytesIO:
        file = BytesIO()
        chosen = ids or complete_runs(lambda _: None)
        export_csv(file, chosen, records, lenient=not ids)
        return file

    return make
