"""A run from elsewhere: what is one gets in as it is, all else leaves nothing behind."""

import io
import json
import os
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hybrid import store
from hybrid.errors import StoreError
from hybrid.store import StoredRun, find_run, import_archive, import_run, list_runs, load_run

END = "2026-11-23T02:00:00+00:00"
RUN, EXAMPLES, RECORDS = "run.json", "examples.jsonl", "records.jsonl"
Files = dict[str, bytes]


@pytest.fixture
def files(fake: StoredRun, tmp_path: Path) -> Files:
    """The bytes of a complete run that is stored elsewhere."""
    with store.create(fake.run, fake.examples, tmp_path / "elsewhere") as writer:
        writer.append(fake.records)
        run = writer.finish({}, END)
    folder = tmp_path / "elsewhere" / run.run_id
    return {name: (folder / name).read_bytes() for name in (RUN, EXAMPLES, RECORDS)}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """The results. Whatever a test does, nothing may be left in them but runs, and nothing beside them."""
    (tmp_path / "results").mkdir()
    beside = set(names(tmp_path)) | {"elsewhere"}
    yield tmp_path / "results"
    assert not [name for name in names(tmp_path / "results") if name.startswith(".")]
    assert set(names(tmp_path)) <= beside


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def zipped(files: Mapping[str, bytes], folder: str = "", how: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(folder + name, data)
    return stream


def refused(root: Path, archive: io.BytesIO | bytes) -> str:
    """The sentence with which an archive is refused."""
    with pytest.raises(StoreError) as caught:
        import_archive(io.BytesIO(archive) if isinstance(archive, bytes) else archive, root)
    assert names(root) == []
    error = str(caught.value)
    assert ".import-" not in error  # where it was put aside is nobody's business
    return error


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


@pytest.mark.parametrize(
    "name",
    [
        "../run.json", "/run.json", "a/b/run.json", "a\\run.json", "C:run.json", "./run.json", "a//run.json",
        "../../etc/run.json", "//run.json", "..\\run.json",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(files: Files, root: Path, name: str) -> None:
    inside = {name if part == RUN else part: data for part, data in files.items()}
    error = refused(root, zipped(inside))
    assert "neither in one folder nor in none" in error or "more than one folder" in error


def test_a_name_that_is_cut_at_a_nul_is_refused(files: Files, root: Path) -> None:
    archive = zipped({"run.jsonX.exe": files[RUN]} | {part: files[part] for part in (EXAMPLES, RECORDS)})
    assert "'run.json\\x00.exe'" in refused(root, archive.getvalue().replace(b"run.jsonX", b"run.json\0"))


@pytest.mark.parametrize(
    "name", ["evil.sh", "run.json.new", ".bashrc", "__init__.py", "RUN.JSON", "run.json "]
)
def test_a_file_that_is_none_of_a_run_is_refused(files: Files, root: Path, name: str) -> None:
    assert "which is no part of a run" in refused(root, zipped(files | {name: b"x"}))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_is_refused(files: Files, root: Path, kind: int) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            if name == RECORDS:
                info.external_attr, data = (kind | 0o777) << 16, b"/etc/passwd"
            archive.writestr(info, data)
    assert "is a link or the like" in refused(root, stream)


def test_a_folder_in_place_of_a_file_is_refused(files: Files, root: Path) -> None:
    archive = zipped({"run.json/": b"", **{part: files[part] for part in (EXAMPLES, RECORDS)}})
    assert "more than one folder" in refused(root, archive)


def test_two_folders_and_the_same_name_twice_are_refused(files: Files, root: Path) -> None:
    assert "more than one folder" in refused(root, zipped({f"a/{RUN}": b"{}", f"b/{EXAMPLES}": b""}))
    stream = zipped(files)
    with zipfile.ZipFile(stream, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(RUN, b"{}")
    assert "'run.json' twice" in refused(root, stream)


def test_a_missing_file_is_named(files: Files, root: Path) -> None:
    assert "missing: records.jsonl" in refused(root, zipped({part: files[part] for part in (RUN, EXAMPLES)}))
    assert "missing: run.json, examples.jsonl" in refused(root, zipped({}))


def test_bombs_are_refused_before_they_go_off(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "packed more tightly" in refused(root, zipped(files | {RECORDS: bytes(8 << 20)}))
    monkeypatch.setattr("hybrid.store.archive.LARGEST_RUN", 10_000)
    assert "bytes unpacked and 10,000 are the most" in refused(
        root, zipped(files | {RECORDS: os.urandom(10_000)})
    )


def test_a_bomb_that_lies_about_its_size_gives_no_more_than_it_says(files: Files, root: Path) -> None:
    data = zipped(files | {RECORDS: bytes(8 << 20)}).getvalue()
    data = data.replace(struct.pack("<L", 8 << 20), struct.pack("<L", 1000))
    assert "'records.jsonl' is damaged" in refused(root, data)


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


def test_an_archive_of_very_many_files_is_not_even_listed(root: Path) -> None:
    archive = zipped({f"{number:0200}": b"" for number in range(5000)}, how=zipfile.ZIP_STORED)
    assert "it lists more files than a run has" in refused(root, archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression_is_refused(files: Files, root: Path, method: int) -> None:
    assert "another way than deflate" in refused(root, zipped(files, how=method))


def test_encryption_is_refused(files: Files, root: Path) -> None:
    data = bytearray(zipped(files).getvalue())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(mark) + offset] |= 1
    assert "is encrypted" in refused(root, bytes(data))


@pytest.mark.parametrize("cut", [0, 10, 200, -30])
def test_what_is_no_whole_archive_is_refused(files: Files, root: Path, cut: int) -> None:
    assert "cannot be read as a .zip" in refused(root, zipped(files).getvalue()[:cut])


def test_a_byte_that_flipped_is_noticed(files: Files, root: Path) -> None:
    data = bytearray(zipped(files, how=zipfile.ZIP_STORED).getvalue())
    data[data.index(b'"news-1"')] ^= 1
    assert "is damaged: Bad CRC-32" in refused(root, bytes(data))


# Files that are no run


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        (RUN, b"", "run.json cannot be read: it is not JSON"),
        (RUN, b"[]", "Expected object, got array"),
        (RUN, b'{"schema": 99}', "it has schema 99 and this version reads 1"),
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
    assert "no answer in records.jsonl is to an example in examples.jsonl" in error


def test_a_results_folder_that_cannot_be_written_is_said(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="The run cannot be imported"):
        import_run(files, tmp_path / "file")
