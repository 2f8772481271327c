"""`hybrid evaluate` prints a report a system."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid.training.evaluate import CONTROLS

Run = Callable[..., Result]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "three.tsv"
    lines = (f"made\tThe house by river {i} is old.\tDas Haus {i} ist alt.\n" for i in range(3))
    path.write_text("".join(lines), "utf-8")
    return str(path)


def test_quality_has_a_score_and_its_signature(run: Run, file: str) -> None:
    result = run("evaluate", file, "--json", "--limit", "2", "--control", "--system", "hybrid")
    plain, *controls = map(json.loads, result.stdout.splitlines())
    assert plain["file"] == "three.tsv"
    assert [row["system"] for row in (plain, *controls)] == ["hybrid", *CONTROLS.values()]
    assert {row["n"] for row in (plain, *controls)} == {2}
    assert plain["BLEU"] >= 0
    assert "version:" in plain["signature"]
