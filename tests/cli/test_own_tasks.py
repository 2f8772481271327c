"""A pair of two tokenizers and tasks of its own, from the command line: answered, measured, scored."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from hybrid.store import load_run
from tests.models.two_tokenizers import OWN, TASKS_OF_PAIR, save_any_pair

Run = Callable[..., Result]
Failure = Callable[[Result], str]


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("zoo")
    save_any_pair(folder / "any", layer=1)
    return folder


@pytest.fixture(autouse=True)
def _own(run: Run, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(zoo))
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path / "results"))


@pytest.mark.parametrize("system", ["llm", "slm", "hybrid"])
def test_the_pairs_first_task_is_asked(run: Run, system: str) -> None:
    result = run("generate", "Das alte Haus.", "--system", system, "--max-new-tokens", "4", "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["task"] == OWN
    assert len(report["token_ids"]) <= 4
    assert report["notices"] == []


def test_a_task_that_the_pair_has_not_is_refused(run: Run, failure: Failure, tmp_path: Path) -> None:
    assert f"'summarize'; available: {OWN}, simplify" in failure(run("generate", "x", "--task", "summarize"))
    table = tmp_path / "a.tsv"
    table.write_text("source\treference\nDas Haus.\tLa maison.\n", "utf-8")
    assert "for summarize" in failure(run("bench", f"file:{table}", "--task", "summarize"))
    assert f"{OWN} (de to fr)" in failure(run("bench", "briefs-en"))


def test_lossless_methods_are_refused(run: Run, failure: Failure, tmp_path: Path) -> None:
    table = tmp_path / "a.tsv"
    table.write_text("source\treference\nDas Haus.\tLa maison.\n", "utf-8")
    for system in ("lossless", "lossless-slm"):
        assert "needs one tokenizer" in failure(run("generate", "x", "--system", system))
        bench = run("bench", f"file:{table}", "--task", OWN, "--systems", f"llm,{system}")
        assert "needs one tokenizer" in failure(bench)


@pytest.mark.parametrize(("task", "metric"), [(OWN, "bleu"), ("simplify", "rougeL"), ("brief", "rougeL")])
def test_it_is_measured_and_scored_as_the_pair_says(run: Run, tmp_path: Path, task: str, metric: str) -> None:
    table = tmp_path / "a.tsv"
    table.write_text("source\treference\nDas Haus.\tLa maison.\nEin Baum.\tUn arbre.\n", "utf-8")
    options = ("--max-new-tokens", "4", "--blocks", "1", "--no-memory")
    result = run("bench", f"file:{table}", "--task", task, *options)
    assert result.exit_code == 0, result.stderr
    name = result.stdout.rstrip("\n")
    stored = load_run(name).run
    assert stored.plan.task == task
    assert stored.task == {known.name: known for known in TASKS_OF_PAIR}[task]
    assert "|tok:unicode-letters|" in stored.signatures[metric] or task != "brief"
    assert stored.two_tokenizers
    compared = run("compare", name)
    assert compared.exit_code == 0, compared.stderr
    assert "different tokenizers" in " ".join(compared.stdout.split())
    assert "characters/s" in compared.stdout
