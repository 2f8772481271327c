"""Whatever bytes a run consists of, commands and pages read it, or say in a sentence why not.

A few dozen of them here; `pytest -m slow tests/fuzz` tries thousands.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid.benchmark.private import make_private
from hybrid.benchmark.scoring import score_run
from hybrid.compare import as_json, compare_runs, summaries
from hybrid.errors import HybridError
from hybrid.presentation.examples.answers import read_answers
from hybrid.presentation.examples.arrangement import Query, arrange, find
from hybrid.presentation.examples.cards import cards
from hybrid.presentation.runs.catalog import catalog
from hybrid.presentation.runs.comparison_view import comparison_rows, table
from hybrid.presentation.runs.digest import headlines, run_digest
from hybrid.presentation.runs.exports import columns, rows
from hybrid.presentation.tradeoffs.results import tradeoffs
from hybrid.store import delete_run, import_archive, list_runs, load_run, resume, write_archive
from hybrid.store.tables import write_csv
from tests.fuzz.mutations import mutations
from tests.made_runs import store_run

FEW, MANY = 15, int(os.environ.get("FUZZ", 3000))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
FILES = ("run.json", "records.jsonl", "examples.jsonl", "scores-repetition.jsonl")
Use = Callable[[Path, str], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sound run, scored by one metric more."""
    root = tmp_path_factory.mktemp("whole")
    run_id = store_run(root, examples=3)
    score_run(run_id, ("repetition",), root=root)
    return root / run_id


@pytest.fixture(scope="module")
def private(whole: Path) -> Path:
    """The folder of the same run without its texts, in which systems without a model stand, too."""
    run_id = store_run(whole.parent, 1, examples=3, task="summarize")
    return whole.parent / make_private(run_id, root=whole.parent)


def compared(root: Path, run_id: str) -> None:
    stored = load_run(run_id, root)
    summaries(stored, 20)
    comparison = compare_runs([stored], resamples=20)
    json.dumps(as_json(comparison), allow_nan=False)
    table(comparison_rows(comparison)).csv()


def exported(root: Path, run_id: str) -> None:
    for records in (False, True):
        write_csv(io.BytesIO(), columns(records, [run_id], root), rows([run_id], records, root=root))


def listed(root: Path, run_id: str) -> None:
    headlines(catalog(root).entries, lambda name: run_digest(name, root))


def shown(root: Path, run_id: str) -> None:
    entry = next(entry for entry in catalog(root).entries if entry.run_id == run_id)
    answers = read_answers(run_id, root)
    examples = arrange(answers, entry.systems)
    for order in ("loss", "slowest"):
        places = find(examples, Query(order, entry.systems[0], entry.systems, contains="a"))
        cards(examples, places[:3].tolist(), entry.systems)
    tradeoffs(run_id, root, lambda: answers)


def sent(root: Path, run_id: str) -> None:
    file = io.BytesIO()
    write_archive(run_id, file, root)
    with suppress(HybridError):
        again, _ = import_archive(file, root)
        assert again in {summary.run.run_id for summary in list_runs(root).runs}
        delete_run(again, root)


def gone_on_with(root: Path, run_id: str) -> None:
    """By scoring and by resuming: what is damaged is said, and never in the way of a sentence."""
    score_run(run_id, ("repetition",), root=root)
    resume(run_id, root).close()


USES: tuple[Use, ...] = (compared, exported, listed, shown, sent, gone_on_with)


def used(root: Path, run_id: str) -> None:
    """Do with a run all that commands and pages do; only a HybridError may come of it."""
    listing = list_runs(root)
    for problem in listing.problems:
        problem.encode()  # can be shown
        assert len(problem) < 2000
    read = {summary.run.run_id for summary in listing.runs}
    assert len(read) + len(listing.damaged) == 1
    for use in USES:
        with suppress(HybridError) if use is not listed else nullcontext():
            if run_id in read or use in (listed, compared, exported, gone_on_with):
                use(root, run_id)


def tried(whole: Path, root: Path, name: str, data: bytes, old: bool) -> None:
    """old: as a run of before there were checksums, whose lines may have none."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(whole, root / whole.name)
    if old:
        run = root / whole.name / "run.json"
        run.write_bytes(run.read_bytes().replace(b'"checksum": "crc32"', b'"checksum": ""'))
    (root / whole.name / name).write_bytes(data)
    used(root, whole.name)
    delete_run(whole.name, root)
    assert list_runs(root).problems == ()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    return tmp_path / "results"


@given(data=st.data())
@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_a_run_with_one_thing_wrong(data: st.DataObject, whole: Path, root: Path) -> None:
    _one(data, whole, root)


@given(data=st.data())
@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_a_private_run_with_one_thing_wrong(data: st.DataObject, private: Path, root: Path) -> None:
    _one(data, private, root, FILES[:3])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(data=st.data())
@settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=QUIET)
def test_thousands_of_runs_with_one_thing_wrong(
    data: st.DataObject, whole: Path, private: Path, root: Path
) -> None:
    if data.draw(st.booleans()):
        _one(data, whole, root)
    else:
        _one(data, private, root, FILES[:3])


def _one(data: st.DataObject, whole: Path, root: Path, files: Sequence[str] = FILES) -> None:
    name = data.draw(st.sampled_from(files))
    wrong = data.draw(mutations((whole / name).read_bytes(), lines=name != "run.json"))
    tried(whole, root, name, wrong, old=data.draw(st.booleans()))
