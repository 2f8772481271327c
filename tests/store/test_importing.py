"""A run from elsewhere: what is one gets in as it is, all else leaves nothing behind."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.store import StoredRun, find_run, import_archive, import_run, list_runs, load_run
from tests.store.archives import names, refused, zipped

END = "2026-11-23T02:00:00+00:00"
RUN, EXAMPLES, RECORDS = "run.json", "examples.jsonl", "records.jsonl"
Files = dict[str, bytes]


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("folder", ["", "sent-by-mail-1234/", "wéird näme/"])
def test_an_exported_run_comes_back_byte_for_byte(
    files: Files, fake: StoredRun, root: Path, folder: str, how: int
) -> None:
    run_id, problems = import_archive(zipped(files, folder, how), root)
    assert problems == ()
    assert run_id == ("sent-by-mail-1234" if folder.startswith("sent") else fake.run.run_id)
    assert {path.name: path.read_bytes() for path in (root / run_id).iterdir()} == files
    loaded = load_run(run_id, root)
    assert (loaded.examples, loaded.records) == (fake.examples, fake.records)
    assert list_runs(root).runs[0].complete


def test_three_files_are_a_run_too(files: Files, fake: StoredRun, root: Path) -> None:
    streams = files | {RECORDS: io.BytesIO(files[RECORDS])}
    assert import_run(streams, root) == (fake.run.run_id, ())
    assert load_run(fake.run.run_id, root).records == fake.records


def test_a_results_folder_is_made_when_it_is_missing(files: Files, fake: StoredRun, root: Path) -> None:
    assert import_run(files, root / "new")[0] == fake.run.run_id


def test_a_run_is_never_overwritten(files: Files, fake: StoredRun, root: Path) -> None:
    ids = {import_archive(zipped(files, f"{fake.run.run_id}/"), root)[0] for _ in range(3)}
    assert len(ids) == 3
    assert all(run_id.startswith("20261123-014512-made-up-") for run_id in ids)
    assert len(list_runs(root).runs) == 3


@pytest.mark.parametrize("name", ["latest", "grids", "Devices", "../up", "a" * 200, "", ".hidden", "a b"])
def test_an_id_that_cannot_be_one_is_replaced(files: Files, root: Path, name: str) -> None:
    row = json.loads(files[RUN]) | {"run_id": name}
    run_id, _ = import_run(files | {RUN: json.dumps(row).encode()}, root, name)
    assert run_id.endswith(tuple("0123456789abcdef"))
    assert "-made-up-" in run_id
    assert find_run(run_id, root) == run_id


def test_a_long_id_that_is_taken_can_still_be_read(files: Files, root: Path) -> None:
    for _ in range(2):
        run_id, _ = import_run(files, root, "a" * 128)
        assert find_run(run_id, root) == run_id


def test_an_incomplete_run_with_its_lock_and_half_a_line(
    fake: StoredRun, root: Path, interrupted: Callable[..., Path]
) -> None:
    path = interrupted(fake, root.parent / "elsewhere", 4)
    inside = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    inside[RECORDS] += b'{"example":"news-1","repe'
    inside.setdefault(".lock", b"")
    run_id, problems = import_archive(zipped(inside, "half/"), root)
    assert problems == ()
    assert sorted(names(root / run_id)) == sorted([RUN, EXAMPLES, RECORDS])
    assert list_runs(root).runs[0].records == 4
    with store.resume(run_id, root) as writer:
        assert len(writer.done) == 4


@pytest.mark.parametrize("suite", ["everyday-en-de", "file:/home/somebody/everyday.tsv"])
def test_a_run_is_sent_whatever_bytes_lie_beside_its_fields(files: Files, root: Path, suite: str) -> None:
    row = json.loads(files[RUN])
    row["plan"]["suite"] = suite
    data = json.dumps(row).encode().replace(b'"checksum"', b'"check\xe5um"')
    run_id, _ = import_run(files | {RUN: data}, root)
    sent = io.BytesIO()
    store.write_archive(run_id, sent, root)
    again, _ = import_archive(sent, root)
    assert load_run(again, root).run.plan.suite == suite.replace("/home/somebody/", "")
    with zipfile.ZipFile(sent) as archive:
        assert b"somebody" not in b"".join(map(archive.read, archive.namelist()))


def test_damaged_lines_are_said_and_hide_no_others(files: Files, root: Path) -> None:
    lines = files[RECORDS].splitlines(keepends=True)
    lines[2] = b'{"example": <script>\n'
    run_id, problems = import_archive(zipped(files | {RECORDS: b"".join(lines)}), root)
    assert problems[0].startswith(f"{root / run_id / RECORDS}, line 3, is damaged and left out")
    assert len(load_run(run_id, root).records) == 8


@pytest.mark.parametrize("folder", ["", "my run/"])
def test_what_macos_and_windows_put_beside_is_passed_over(
    files: Files, fake: StoredRun, root: Path, folder: str
) -> None:
    beside = [
        f"__MACOSX/{folder}._run.json", f"__MACOSX/{folder}", "__MACOSX/._my run", f"{folder}._records.jsonl",
        f"{folder}.DS_Store", ".DS_Store", f"{folder}desktop.ini", f"{folder}Thumbs.db", f"{folder}thumbs.db",
    ]  # fmt: skip
    inside = {folder + name: data for name, data in files.items()} | dict.fromkeys(beside, b"\0\5\26\7")
    run_id, problems = import_archive(zipped(inside), root)
    assert problems == ()
    assert {path.name: path.read_bytes() for path in (root / run_id).iterdir()} == files


# Hostile archives


def test_a_missing_file_is_named(files: Files, root: Path) -> None:
    assert "missing: records.jsonl" in refused(root, zipped({part: files[part] for part in (RUN, EXAMPLES)}))
    assert "missing: run.json, examples.jsonl" in refused(root, zipped({}))


def test_three_files_may_not_be_larger_either(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.store.importing.LARGEST_RUN", 9000)
    with pytest.raises(StoreError, match=r"records.jsonl has more than the [\d,]+ bytes it may"):
        import_run(files | {RECORDS: bytes(9000)}, root)
    monkeypatch.undo()
    monkeypatch.setattr("hybrid.store.importing.LONGEST_LINE", 1 << 17)
    with pytest.raises(StoreError, match=r"a line of examples\.jsonl has over"):
        import_run(files | {EXAMPLES: b"x" * (1 << 18)}, root)


# Files that are no run


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        (RUN, b"", "run.json cannot be read: it is not JSON"),
        (RUN, b"[]", "Expected object, got array"),
        (RUN, b'{"schema": 99}', "it has schema 99 and this version reads 2"),
        (RUN, b'{"schema": 1}', "missing required field run_id"),
        (RUN, b'{"a":' * 100_000, "it is nested too deeply"),
        (RUN, b"\xff\xfe", "it is not JSON"),
        (EXAMPLES, b"", "holds no example that can be read"),
        (EXAMPLES, b"\xff\n", "holds no example that can be read"),
    ],
)
def test_files_that_cannot_be_read_are_refused(
    files: Files, root: Path, name: str, data: bytes, error: str
) -> None:
    assert error in refused(root, zipped(files | {name: data}))


@pytest.mark.parametrize("planned", [-1, 0, 8, 10, 2**60 * 9])
def test_a_plan_of_other_answers_is_refused(files: Files, root: Path, planned: int) -> None:
    row = json.loads(files[RUN]) | {"planned": planned}
    refused(root, zipped(files | {RUN: json.dumps(row).encode()}))


def test_files_of_different_runs_are_refused(fake: StoredRun, files: Files, root: Path) -> None:
    other = tuple(replace(example, id=f"other-{i}") for i, example in enumerate(fake.examples))
    with store.create(fake.run, other, root.parent / "elsewhere") as writer:
        pass
    examples = (root.parent / "elsewhere" / writer.run.run_id / EXAMPLES).read_bytes()
    error = refused(root, zipped(files | {EXAMPLES: examples}))
    assert "no answer in records.jsonl can be read as one to an example in examples.jsonl" in error


def test_a_results_folder_that_cannot_be_written_is_said(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="The run cannot be imported"):
        import_run(files, tmp_path / "file")
