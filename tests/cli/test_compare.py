"""`hybrid compare`: a report that is whole when piped and fits a terminal, or everything as JSON."""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hybrid.cli import compare_report, main
from hybrid.compare import Estimate, Gate, compare_runs
from hybrid.schema import Memory, Record, System
from hybrid.store import StoredRun
from tests.compare.fake import changed, generation, make_run, put, with_records

ONE, TWO = "20261123-014512-made-3f9c", "20261124-020000-made-77aa"

MISSES = Gate(
    verdict="misses", metric="bleu", quality=Estimate(0.98996, 0.98993, 0.98999, 60),
    length=Estimate(0.9001, 0.90004, 0.902, 60),
)  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two complete runs, the second without an LLM."""
    folder = tmp_path_factory.mktemp("results")
    put(make_run(60, run_id=ONE), folder)
    put(make_run(50, run_id=TWO, systems=(System("slm"), System("hybrid")), threads=2), folder)
    return folder


def run(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["compare", *arguments], env={"HYBRID_RESULTS": str(root)})


def test_the_report(root: Path) -> None:
    done = run(root, ONE, "--price-per-hour", "2.5", "--resamples", "200", "--seed", "4")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("LLM alone is the baseline: 100.0 BLEU [100.0, 100.0] and 430 ms")
    verdict = (
        r"Hybrid is 4\.0× \[4\.0, 4\.0\] faster at -\d\.\d BLEU \[.*\]: the loss is significant at n = 60; "
        r"it misses the 99 % target: 9\d\.\d % \[\d\d\.\d, 9\d\.\d\] of the BLEU \(needs 99 %\)\."
    )
    assert re.fullmatch(verdict, lines[2])
    titles = (
        "Quality, translate-en-de", "Difference to the baseline", "Speed-up over the baseline",
        "Latency in ms", "Throughput, memory, cost", "The 99 % target: may it stand in for the baseline?",
        "How this was computed",
    )  # fmt: skip
    places = [next(i for i, line in enumerate(lines) if line.startswith(title)) for title in titles]
    assert places == sorted(places)
    assert "Beware" not in done.stdout
    assert re.search(r"^ hybrid +60 .* p<0\.001 .* 67 %$", done.stdout, re.MULTILINE)
    assert re.search(r"^ llm +60 +430 / 460 / \(460\)", done.stdout, re.MULTILINE)
    assert re.search(r"^ slm .* 900 MB +\d+\.\d+$", done.stdout, re.MULTILINE)
    assert "- Hybrid misses it: 9" in done.stdout
    assert "- One training seed: " in done.stdout
    assert "200 resamples, seed 4" in done.stdout
    assert "p99 needs 368" in done.stdout
    assert "p is two-sided: below 0.05 where, and only where," in done.stdout
    assert "- BLEU: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in done.stdout


def test_several_runs_are_numbered_and_their_differences_said(root: Path) -> None:
    done = run(root, ONE[:8], TWO[:8], "--resamples", "50")
    assert f"[1] {ONE}: made, tiny, torch on cpu\n[2] {TWO}: " in done.stdout
    assert re.search(r"^ hybrid \[2\] +50 ", done.stdout, re.MULTILINE)
    beware = done.stdout.partition("\nBeware\n")[2]
    assert f"- Run {TWO} was measured differently from run {ONE}: threads (2 and 1).\n" in beware
    assert f"- 10 of 60 examples of run {ONE} are not compared" in beware


def test_batches_are_spelt(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(printed(monkeypatch, [make_run(12, batch_size=4)], None))
    assert re.search(r"^ hybrid .* 3 +batches$", text, re.MULTILINE)


def test_a_gate_that_is_missed_narrowly_is_not_rounded_to_its_need() -> None:
    comparison = compare_runs([make_run(3)], resamples=5)
    (hybrid,) = (system for system in comparison.systems if system.summary.system == "hybrid")
    narrow = replace(
        hybrid,
        against=replace(hybrid.against, gate=MISSES),
    )
    lines = list(compare_report.report(replace(comparison, systems=(narrow,))))
    line = (
        "- Hybrid misses it: 98.996 % [98.993, 98.999] of the BLEU (needs 99 %) and "
        "90.010 % [90.004, 90.200] of the length (needs 90 %)."
    )
    assert line in lines


def test_one_baseline_for_all(root: Path) -> None:
    done = run(root, ONE, "latest", "--baseline", f"{TWO[:8]}:slm", "--resamples", "20")
    assert f"SLM alone of run {TWO} is the baseline" in done.stdout
    assert f"LLM alone of run {ONE} is 4.0× [4.0, 4.0] slower than SLM alone of run {TWO} at" in done.stdout


def test_json_is_the_whole_comparison(root: Path) -> None:
    done = run(root, ONE, "--json", "--resamples", "30")
    comparison = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (comparison["baseline"], comparison["resamples"]) == ("llm", 30)
    assert [system["summary"]["system"] for system in comparison["systems"]] == ["llm", "slm", "hybrid"]
    assert comparison["systems"][2]["against"]["speedups"]["end_to_end"]["value"] == pytest.approx(4.0)


def test_what_is_not_there_is_said(root: Path) -> None:
    for arguments, words in (
        (["nothing"], "There is no run 'nothing'"),
        ([TWO], "No run given has answers of the baseline llm; there are those of slm, hybrid."),
        ([ONE, "--baseline", "gpt"], "'gpt' is no system; available: llm, slm, hybrid"),
        ([ONE, "--baseline", f"{TWO}:slm"], f"run {TWO} is not among those given: {ONE}."),
        ([ONE, "--baseline", "other:llm"], "There is no run 'other'"),
    ):
        done = run(root, *arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    for arguments in (["--resamples", "0"], ["--price-per-hour", "-1"], ["--seed", "-1"]):
        assert run(root, ONE, *arguments).exit_code == 2
    assert run(root).exit_code == 2


def test_a_run_without_answers_is_said(tmp_path: Path) -> None:
    put(make_run(3, run_id="empty", answered=lambda system, i, r: False), tmp_path)
    done = run(tmp_path, "empty")
    assert done.exit_code == 1
    assert "Run empty has no answers yet; resume it or leave it out." in done.stderr


def printed(monkeypatch: pytest.MonkeyPatch, stored: Sequence[StoredRun], width: int | None) -> list[str]:
    monkeypatch.setattr(compare_report, "_width", lambda: width)
    return list(compare_report.report(compare_runs(stored, price_per_hour=1.0, resamples=30)))


@pytest.mark.parametrize("width", [80, 100])
def test_a_narrow_terminal_breaks_no_number(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    stored = [make_run(50)]
    lines = printed(monkeypatch, stored, width)
    prose = "How this was computed"
    assert max(map(len, lines[: lines.index(prose)])) <= width
    numbers = r"\d+(?:\.\d+)?"
    assert sorted(re.findall(numbers, " ".join(lines))) == sorted(
        re.findall(numbers, " ".join(printed(monkeypatch, stored, None)))
    )


def test_nothing_is_cut_when_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    long = "made-" + "x" * 120
    lines = printed(monkeypatch, [make_run(3, run_id="a"), make_run(3, run_id="b", suite=long)], None)
    assert not any("…" in line for line in lines)
    assert any(long in line for line in lines)


def test_a_runs_own_texts_cannot_move_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = changed(make_run(3, run_id="b", suite="made\x1b[2J\x07"), signatures={"bleu": "\x1b]0;x\x07"})
    text = "\n".join(printed(monkeypatch, [make_run(3, run_id="a"), hostile], None))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "made?[2J?" in text


def test_what_is_not_known_is_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(record: Record) -> Record:
        return replace(record, statistics={}, generation=generation(record.system, "", 0.1, tokens=1))

    stored = changed(
        with_records(make_run(3), bare),
        memory={"llm": Memory(resident=5_000_000, before_model=1, device=7_000_000)},
    )
    text = "\n".join(printed(monkeypatch, [stored], None))
    assert re.search(r"^ hybrid +3 +– +– +– +–$", text, re.MULTILINE)
    assert "Hybrid: cannot be told, there is no quality or length to compare." in text
    assert re.search(r"^ llm .* 5\.0 MB +7\.0 MB ", text, re.MULTILINE)
    assert "nan" not in text.lower()


def test_it_is_utf8_in_any_locale(root: Path) -> None:
    environment = os.environ | {"HYBRID_RESULTS": str(root), "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "hybrid.cli", "compare", ONE, "--resamples", "5"], env=environment,
        capture_output=True, check=True,
    )  # fmt: skip
    assert "Hybrid is 4.0×" in done.stdout.decode("utf-8")
    assert b"\x1b" not in done.stdout


@pytest.mark.slow
def test_five_runs_of_2000_records_take_under_3_seconds(tmp_path: Path) -> None:
    def long(record: Record) -> Record:
        return replace(record, generation=generation(record.system, "a b", 0.3, tokens=40))

    stored = with_records(make_run(667), long)
    names = [f"run-{k}" for k in range(5)]
    for name in names:
        put(changed(stored, run_id=name), tmp_path)
    environment = os.environ | {"HYBRID_RESULTS": str(tmp_path)}
    command = [sys.executable, "-m", "hybrid.cli", "compare", *names]
    times = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, env=environment, capture_output=True, check=True)
        times.append(time.perf_counter() - start)
    peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of all children so far
    print(f"\nhybrid compare, five runs: {min(times):.2f} s, {peak_mib:.0f} MiB")  # noqa: T201
    assert min(times) < 3
    assert peak_mib < 1000
