"""`hybrid claim`: what a claim comes to, with an exit code that scripts can ask for."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hybrid.cli import main
from hybrid.schema import System
from tests.compare.fake import make_run, put

OLDER, NEWER = "20261123-014512-made-3f9c", "20261124-020000-made-77aa"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, the newer without an LLM."""
    folder = tmp_path_factory.mktemp("results")
    put(make_run(60, run_id=OLDER), folder)
    put(make_run(60, run_id=NEWER, systems=(System("slm"), System("hybrid"))), folder)
    return folder


@pytest.fixture
def write(tmp_path: Path) -> Path:
    for name, need in (("fast", 3.0), ("faster", 5.0)):
        text = f'says = "It is {name}."\nsuite = "made"\n[at_least]\nend_to_end = {need}\n'
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


def run(root: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["claim", *map(str, arguments)], env={"HYBRID_RESULTS": str(root)})


def test_a_proved_claim(root: Path, write: Path) -> None:
    done = run(root, write / "fast.toml")
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"It is fast. ({OLDER})" in done.stdout  # the newer run has no LLM
    assert "  Proved at n = 60: 4.0× [" in done.stdout


def test_several_claims_are_proved_only_together(root: Path, write: Path) -> None:
    done = run(root, write / "fast.toml", write / "faster.toml")
    assert done.exit_code == 1
    assert "Proved at" in done.stdout
    assert "Refuted at" in done.stdout


def test_json(root: Path, write: Path) -> None:
    (judged,) = json.loads(run(root, write / "faster.toml", "--json").stdout)
    assert (judged["outcome"], judged["run_id"], judged["n"]) == ("refuted", OLDER, 60)
    assert judged["parts"][0]["ratio"]["value"] == pytest.approx(4.0)


def test_a_run_that_lacks_the_baseline_is_told_in_a_sentence(root: Path, write: Path) -> None:
    done = run(root, write / "fast.toml", "--of", NEWER)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (f"error: The claim is about llm, and run {NEWER} has answers of slm, hybrid.\n")


def test_no_run_that_a_claim_is_about(root: Path, write: Path) -> None:
    path = write / "other.toml"
    path.write_text('suite = "another"\n[at_least]\nquality = 0.98\n', encoding="utf-8")
    done = run(root, path)
    assert done.exit_code == 1
    assert "`hybrid bench another` makes one" in done.stderr
    path.write_text('suite = "made"\nrun = "2026112"\n[at_least]\nquality = 0.98\n', encoding="utf-8")
    assert "2026112" in run(root, path).stderr


@pytest.mark.parametrize(
    ("options", "named"), [(("--limit", 5), "--limit"), (("--run", "--of", "x"), "--of")]
)
def test_options_that_do_not_go_together(
    root: Path, write: Path, options: tuple[object, ...], named: str
) -> None:
    done = run(root, write / "fast.toml", *options)
    assert done.exit_code == 2
    assert named in done.stderr


def test_without_a_file_those_beside_the_runs(root: Path, write: Path, tmp_path: Path) -> None:
    empty = run(tmp_path)
    assert empty.exit_code == 2
    assert str(tmp_path / "claims") in empty.stderr
    (tmp_path / "claims").mkdir()
    (write / "fast.toml").rename(tmp_path / "claims" / "fast.toml")
    put(make_run(60, run_id=OLDER), tmp_path)
    assert "Proved at n = 60" in run(tmp_path).stdout
