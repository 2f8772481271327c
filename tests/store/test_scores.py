"""Scores in files of their own: read with the records, never half, only for texts that were scored."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.schema import Example, Record
from hybrid.store import RunReader, StoredRun, load_run, open_scores, run_fingerprint
from hybrid.store.checks import seal

FakeRun = Callable[..., StoredRun]
HEADERS = {"ter": (1, "sig|version:1")}


@pytest.fixture
def stored(fake_run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunReader:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))
    return written(fake_run())


def written(fake: StoredRun) -> RunReader:
    with store.create(fake.run, fake.examples) as writer:
        writer.append(fake.records)
    return RunReader(fake.run.run_id)


def score(
    reader: RunReader, values: Callable[[Record], tuple[float, ...]] = lambda _: (2, 0.1 + 0.2)
) -> None:
    with open_scores(reader.folder, HEADERS, "0.1.0") as append:
        for record in reader.records():
            append(record, {"ter": values(record)})


def test_what_was_scored_stands_beside_what_is_in_the_records(stored: RunReader) -> None:
    before = load_run("latest")
    score(stored, lambda record: (record.position, 1 / 3))
    after = load_run("latest")
    assert after.run.signatures == {**before.run.signatures, "ter": "sig|version:1"}
    for old, new in zip(before.records, after.records, strict=True):
        assert new == replace(old, statistics={**old.statistics, "ter": (old.position, 1 / 3)})
    assert after.problems == ()


def test_a_file_of_scores_goes_before_what_is_in_the_records(stored: RunReader) -> None:
    with open_scores(stored.folder, {"rougeL": (1, "new")}, "0.1.0") as append:
        for record in stored.records():
            append(record, {"rougeL": (0.125,)})
    after = load_run("latest")
    assert {record.statistics["rougeL"] for record in after.records} == {(0.125,)}
    assert after.run.signatures["rougeL"] == "new"


def test_the_answers_and_run_json_stay_as_they_are(stored: RunReader) -> None:
    before = {path.name: path.read_bytes() for path in stored.folder.iterdir()}
    score(stored)
    after = {path.name: path.read_bytes() for path in stored.folder.iterdir()}
    assert after.keys() - before.keys() == {"scores-ter.jsonl"}
    assert {name: after[name] for name in before} == before


def test_a_failure_leaves_the_old_scores(stored: RunReader) -> None:
    score(stored)
    path = stored.folder / "scores-ter.jsonl"
    before = path.read_bytes()

    def fail(record: Record) -> tuple[float, ...]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(stored, fail)
    assert path.read_bytes() == before
    assert {entry.name for entry in stored.folder.iterdir()} >= {"scores-ter.jsonl"}
    assert not list(stored.folder.glob(".scores*"))


def test_another_text_has_no_score(stored: RunReader) -> None:
    score(stored)
    path = stored.folder / "records.jsonl"
    lines = path.read_bytes().splitlines()
    row = json.loads(lines[1]) | {"text": "Answer X."}
    del row["crc32"]
    lines[1] = seal(json.dumps(row).encode()).rstrip()
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert ["ter" in record.statistics for record in load_run("latest").records[:3]] == [True, False, True]


def test_scores_of_other_texts_are_left_out_and_said(stored: RunReader) -> None:
    score(stored)
    path = stored.folder / "examples.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Reference 1.", b"Reference X."))
    after = load_run("latest")
    assert "ter" not in after.run.signatures
    assert not any("ter" in record.statistics for record in after.records)
    assert [problem for problem in after.problems if "scores-ter.jsonl" in problem]


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        (0, b"[]"), (0, b"{"), (0, b'{"schema":2,"metric":"ter"}'), (0, b""), (0, b"\xff"),
        (1, b"[]"), (1, b"{"), (1, b'{"example":1}'), (1, b"\xff"), (1, b"[" * 100_000),
        (1, b'{"example":"a","repeat":0,"system":"llm","text_crc32":1,"statistics":["x"]}'),
    ],
)  # fmt: skip
def test_damage_is_said_and_hides_nothing_else(stored: RunReader, line: int, bad: bytes) -> None:
    """In a file of before there were checksums; in one that has its own, all scores are in doubt."""
    score(stored)
    path = stored.folder / "scores-ter.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:line], bad + b"\n", *lines[line + 1 :]]))
    after = load_run("latest")
    assert len(after.problems) == 1
    assert str(path) in after.problems[0]
    assert not any("ter" in record.statistics for record in after.records)
    lines = [lines[0].replace(b',"checksum":"crc32"', b""), *lines[1:-1]]
    path.write_bytes(b"".join([*lines[:line], bad + b"\n", *lines[line + 1 :]]))
    after = load_run("latest")
    assert len(after.problems) == 1
    assert str(path) in after.problems[0]
    whole = 0 if line == 0 else len(after.records) - 1
    assert sum("ter" in record.statistics for record in after.records) == whole
    assert all("rougeL" in record.statistics for record in after.records)


def test_a_link_is_not_followed(stored: RunReader, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    (stored.folder / "scores-ter.jsonl").symlink_to(tmp_path / "elsewhere")
    assert len(load_run("latest").problems) == 1


def test_ids_that_no_utf_8_can_hold(
    fake_run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(tmp_path))
    fake = fake_run(examples=1)
    records = tuple(replace(record, example_id="a\ud800") for record in fake.records)
    example = Example("a\ud800", "d", "s", ("r",))
    reader = written(StoredRun(fake.run, (example,), records, ()))
    score(reader)
    assert all("ter" in record.statistics for record in load_run("latest").records)


def test_archives_carry_scores(stored: RunReader, tmp_path: Path) -> None:
    score(stored)
    file = io.BytesIO()
    store.write_archive("latest", file)
    run_id, problems = store.import_archive(file, tmp_path / "other")
    assert (run_id, problems) == (stored.run.run_id, ())
    assert load_run(run_id, tmp_path / "other").records == load_run("latest").records


def test_an_import_may_have_scores_and_nothing_like_them(stored: RunReader, tmp_path: Path) -> None:
    score(stored)
    files = {path.name: path.read_bytes() for path in stored.folder.iterdir() if path.name[0] != "."}
    assert store.import_run(files, tmp_path / "other")[1] == ()
    for name in ("scores-../x.jsonl", "scores-.jsonl", "scores-a b.jsonl", "scores-" + "a" * 41 + ".jsonl"):
        with pytest.raises(StoreError, match="no part of it"):
            store.import_run({**files, name: b""}, tmp_path / "other")
    many = {f"scores-m{i}.jsonl": b"" for i in range(200)}
    with pytest.raises(StoreError, match="204"):
        store.import_run({**files, **many}, tmp_path / "other")


def test_a_run_is_deleted_with_its_scores(stored: RunReader) -> None:
    score(stored)
    (stored.folder / ".scores-ter.jsonl.0123abcd.new").touch()  # what a crash leaves
    store.delete_run(stored.run.run_id)
    assert not stored.folder.exists()


def test_scores_change_the_fingerprint(stored: RunReader) -> None:
    before = run_fingerprint(stored.run.run_id)
    score(stored)
    assert run_fingerprint(stored.run.run_id) != before


def test_the_format(stored: RunReader) -> None:
    score(stored)
    lines = (stored.folder / "scores-ter.jsonl").read_text("utf-8").splitlines()
    header, first = map(json.loads, lines[:2])
    assert header.keys() == {
        "schema", "metric", "version", "signature", "examples_sha256", "product", "checksum"
    }  # fmt: skip
    assert first.keys() == {"example", "repeat", "system", "text_crc32", "statistics"}
    assert json.loads(lines[-1]).keys() == {"crc32"}
    assert '"statistics":[2,0.30000000000000004]' in lines[1]
    readme = (Path(store.__file__).parents[2] / "results" / "README.md").read_text("utf-8")
    assert all(f"| {name} |" in readme for name in (*header, *first))


@pytest.mark.parametrize("values", [(1.0,), (1.0, 2.0, 3.0), (-1.0, 2.0), ()])
def test_statistics_that_no_answer_can_have_are_left_out(
    stored: RunReader, values: tuple[float, ...]
) -> None:
    """A file whose checksum fits, made by somebody else."""
    score(stored, lambda record: (1.0, 2.0) if record.position else values)
    after = load_run("latest")
    assert ["ter" in record.statistics for record in after.records] == [False] + [True] * 8
    assert [problem for problem in after.problems if "scores-ter.jsonl, line 2, is damaged" in problem]
