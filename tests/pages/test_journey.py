"""The whole way in one visit: measure, see it, open its worst example, take the numbers home."""

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hybrid.compare.export import RECORD_COLUMNS, record_rows
from hybrid.metrics import benchmark_metrics
from hybrid.schema import TASKS
from hybrid.store import RunReader, list_runs
from hybrid.store.tables import original
from tests.pages.conftest import downloaded, settled, wait_for_address


def test_from_a_measurement_to_its_numbers(
    serve: Callable[..., Any], visit: Callable[..., Any], tmp_path: Path
):
    with serve(tmp_path / "results") as server, visit(shot="journey-end") as page:
        page.goto(f"{server.address}/benchmark?examples=4&memory=false&blocks=1")
        page.get_by_text("4 examples × 3 systems × 1 repeat = 12 answers.").wait_for()
        page.get_by_role("button", name="Start", exact=True).click()
        page.get_by_text("All 12 answers are stored.").first.wait_for(timeout=150_000)
        (summary,) = list_runs(server.results).runs
        assert summary.complete
        _see_it_on_trade_offs(page, summary.run.run_id)
        _open_the_worst_example(page, summary.run.run_id, server.results)
        _export_the_records(page, summary.run.run_id, server.results)


def _see_it_on_trade_offs(page: Any, run_id: str) -> None:
    page.get_by_role("link", name="See it on Trade-offs").click()
    page.get_by_role("heading", name="Is it worth it?").wait_for()
    page.locator(".js-plotly-plot").nth(2).wait_for()
    settled(page)
    wait_for_address(page, run=run_id)
    drawn = page.evaluate("[...document.querySelectorAll('.js-plotly-plot')].map((e) => e.data.length)")
    assert all(drawn)


def _open_the_worst_example(page: Any, run_id: str, results: Path) -> None:
    page.get_by_role("link", name="Its answers").first.click()
    page.get_by_role("heading", name="Where does it fail?").wait_for()
    page.get_by_text("Link to this example").first.click()
    page.get_by_role("button", name=re.compile("all examples", re.IGNORECASE)).first.wait_for()
    settled(page)
    wait_for_address(page, run=run_id, example=_worst(run_id, results))


def _worst(run_id: str, results: Path) -> str:
    """The example on which the hybrid's own BLEU is the furthest below the LLM's."""
    rows = pd.DataFrame(record_rows(RunReader(run_id, results)), columns=list(RECORD_COLUMNS))
    scores = rows.pivot_table(index="example_id", columns="system", values="bleu")
    loss = scores["hybrid"] - scores["llm"]
    return str(loss.idxmin())


def _export_the_records(page: Any, run_id: str, results: Path) -> None:
    page.get_by_role("link", name="Runs", exact=True).first.click()
    page.get_by_role("heading", name="Stored runs").wait_for()
    settled(page)
    file = downloaded(page, page.get_by_role("button", name="Records CSV"))
    text = file.read_bytes().decode()
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    scored = benchmark_metrics(TASKS["translate-en-de"])
    checks = [name for name in scored if name not in RECORD_COLUMNS]
    assert list(table[0]) == [*RECORD_COLUMNS, *checks]
    lines = (results / run_id / "records.jsonl").read_text("utf-8").splitlines()
    stored = [json.loads(line) for line in lines]
    assert len(table) == len(stored) == 12
    for row, record in zip(table, stored, strict=True):
        own = run_id, record["example"], record["system"]
        assert (row["run_id"], row["example_id"], row["system"]) == own
        assert original(row["text"]) == record["text"]
        assert int(row["output_tokens"]) == len(record["token_ids"])
        assert 1000 * float(row["total_ms"]) == pytest.approx(sum(record["phases_us"].values()))
        assert 1000 * float(row["ttft_ms"]) == pytest.approx(record["token_us"][0])
