"""An archive that is no run's, or means harm, is refused and leaves nothing behind."""

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from tests.store.archives import refused, zipped

RUN, EXAMPLES, RECORDS = "run.json", "examples.jsonl", "records.jsonl"
Files = dict[str, bytes]


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
