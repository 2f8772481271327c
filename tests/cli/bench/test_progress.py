"""What `hybrid bench` shows while it measures, and that showing it costs no measurement."""

import threading
from typing import Any

import pytest

import hybrid.benchmark.schedule
from hybrid.benchmark import run as use_case
from hybrid.cli import console


def test_without_a_terminal_plain_lines_now_and_then(bench, monkeypatch):
    monkeypatch.setattr(use_case, "PROGRESS_EVERY_S", 0.0)
    monkeypatch.setattr(console, "PLAIN_LINE_EVERY_S", 0.0)
    lines = [
        line
        for line in bench.measure("--limit", "2").stderr.splitlines()
        if line.startswith("file:suite.tsv  ")
    ]
    assert [line.split("  ")[1] for line in lines] == [f"{n}/6" for n in range(1, 7)]
    assert "ETA" not in lines[0]
    assert "  ETA 0:00:0" in lines[1]
    assert "  speed-up hybrid " in lines[-1]
    assert ", slm " in lines[-1]


@pytest.mark.usefixtures("terminal")
def test_on_a_terminal_a_bar(bench, monkeypatch):
    monkeypatch.setattr(use_case, "PROGRESS_EVERY_S", 0.0)
    result = bench.measure("--limit", "2")
    assert "━━━" in result.stderr
    assert "3/6" in result.stderr
    bench.stored(result)


@pytest.mark.usefixtures("terminal")
def test_nothing_draws_while_an_answer_is_measured(bench, monkeypatch):
    measure_answers, threads = hybrid.benchmark.schedule.measure_answers, []

    def watched(*arguments: Any) -> Any:
        threads.append({*threading.enumerate()} - before)
        return measure_answers(*arguments)

    monkeypatch.setattr(hybrid.benchmark.schedule, "measure_answers", watched)
    before = {*threading.enumerate()}
    bench.measure("--limit", "2")
    assert threads == [set()] * 6
