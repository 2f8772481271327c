"""`hybrid evaluate` prints a report a system, of quality or of speed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid.schema import SYSTEMS

Run = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "three.tsv"
    lines = (f"made\tThe house by river {i} is old.\tDas Haus {i} ist alt.\n" for i in range(3))
    path.write_text("".join(lines), "utf-8")
    return str(path)


def test_quality_has_a_score_and_its_signature(run: Run, file: str) -> None:
    result = run("evaluate", file, "--json", "--limit", "2", "--control", "--system", "hybrid")
    plain, control = map(json.loads, result.stdout.splitlines())
    assert plain["file"] == "three.tsv"
    assert (plain["system"], control["system"]) == ("hybrid", "hybrid, another prompt's latent")
    assert plain["n"] == control["n"] == 2
    assert plain["BLEU"] >= 0
    assert "version:" in plain["signature"]


def test_speed_compares_with_the_first_system(run: Run, file: str) -> None:
    result = run("evaluate", file, "--json", "--limit", "1", "--speed")
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert [report["system"] for report in reports] == list(SYSTEMS)
    assert reports[0]["end_to_end_vs_llm"] == 1
    assert all(report["total_ms"] > report["ttft_ms"] > 0 for report in reports)


def test_plain_output_is_a_line_of_columns(run: Run, file: str) -> None:
    (line,) = run("evaluate", file, "--limit", "1", "--system", "slm").stdout.splitlines()
    assert line.startswith("file three.tsv\tsystem slm\tBLEU ")


def test_a_missing_file_is_one_sentence(run: Run, failure: Callable[[Result], str], tmp_path: Path) -> None:
    assert str(tmp_path / "none.tsv") in failure(run("evaluate", str(tmp_path / "none.tsv")))
