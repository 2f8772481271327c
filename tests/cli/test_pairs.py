"""`hybrid pairs` lists what is here."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid.schema import SYSTEMS

Run = Callable[..., Result]
Failure = Callable[[Result], str]


def test_pairs_as_text_and_json(run: Run) -> None:
    name, sizes, tasks, limit = run("pairs").stdout.rstrip("\n").split("\t")
    assert (name, tasks, limit) == ("tiny", "translate-en-de, summarize", "up to 160 prompt tokens")
    assert sizes.startswith("llm 0.")
    (manifest,) = json.loads(run("pairs", "--json").stdout)
    assert manifest["name"] == "tiny"
    assert set(manifest["parameters"]) == set(SYSTEMS)


def test_no_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    result = run("pairs")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"notice: There are no pairs in {tmp_path}.\n"
    assert json.loads(run("pairs", "--json").stdout) == []


def test_unreadable_manifest_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, failure: Failure
) -> None:
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "pair.json").write_text('{"format": 1, "na')
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    assert str(tmp_path / "torn" / "pair.json") in failure(run("pairs"))


def test_a_damaged_pair_is_told_and_no_name_steers_the_terminal(
    tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    shutil.copytree(tiny_zoo / "tiny", tmp_path / "a\x1b[2J")
    shutil.copytree(tiny_zoo / "tiny", tmp_path / "b\x9b")
    (tmp_path / "b\x9b" / "pair.json").write_text("[]")
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    result = run("pairs")
    assert result.stdout.startswith("a?[2J\t")
    assert result.stderr.startswith("notice: ")
    assert "b?/pair.json is damaged" in result.stderr
    assert (result.stdout + result.stderr).replace("\n", "").replace("\t", "").isprintable()
