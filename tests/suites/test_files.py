"""Examples in files: every format gives the same examples, every wrong line is named."""

import json
import lzma
from pathlib import Path

import pytest

from hybrid.errors import InputError
from hybrid.suites.files import Example, read_examples

TSV = "news\tThe house is old.\tDas Haus ist alt.\nted\tGood\u2028morning\tGuten\u2028Morgen\n"
EXPECTED = [
    Example("news", "The house is old.", ("Das Haus ist alt.",)),
    Example("ted", "Good\u2028morning", ("Guten\u2028Morgen",)),
]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        list(read_examples(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_tsv(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(TSV.encode())
    assert list(read_examples(path)) == EXPECTED
    path.write_bytes(TSV.replace("\n", "\r\n").encode())  # written on Windows
    assert list(read_examples(path)) == EXPECTED


def test_jsonl_with_one_or_several_summaries(tmp_path: Path) -> None:
    rows = [
        {"source": "wiki", "document": "Long\ntext.", "summary": "Short."},
        {"source": "wiki", "document": "Other text.", "summaries": ["One.", "Two."]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    assert list(read_examples(path)) == [
        Example("wiki", "Long\ntext.", ("Short.",)),
        Example("wiki", "Other text.", ("One.", "Two.")),
    ]


def test_xz(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.xz"
    path.write_bytes(lzma.compress(TSV.encode()))
    assert list(read_examples(path)) == EXPECTED
    row = {"source": "wiki", "document": "Text.", "summary": "Short."}
    path = tmp_path / "a.jsonl.xz"
    path.write_bytes(lzma.compress(json.dumps(row).encode()))
    assert list(read_examples(path)) == [Example("wiki", "Text.", ("Short.",))]


def test_zst(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    path = tmp_path / "a.tsv.zst"
    path.write_bytes(zstandard.ZstdCompressor().compress(TSV.encode() * 5000))
    assert list(read_examples(path)) == EXPECTED * 5000
    path.write_bytes(b"not packed")
    assert "cannot be unpacked" in refusal(path)


@pytest.mark.parametrize(
    "line",
    [
        b"only\ttwo",
        b"one\ttwo\tthree\tfour",
        b"",
        b"bad\tbytes \xff\xfe\there",
    ],
)
def test_a_wrong_tsv_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(TSV.encode() + line + b"\n" + TSV.encode())
    assert ", line 3, is not an example" in refusal(path)
    found = []
    with pytest.raises(InputError):
        found.extend(read_examples(path))
    assert found == EXPECTED  # what came before it was served


@pytest.mark.parametrize(
    "line",
    [
        "{not json}",
        '{"source": "a", "summary": "b"}',
        '{"source": "a", "document": "b"}',
        '{"source": "a", "document": "b", "summaries": []}',
        '{"source": "a", "document": "b", "summaries": "letters"}',
        '{"source": "a", "document": 3, "summary": "b"}',
        '{"source": "a", "document": "b", "summary": null}',
        "[1, 2]",
        "null",
    ],
)
def test_a_wrong_json_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"source": "a", "document": "b", "summary": "c"}\n' + line + "\n", "utf-8")
    assert ", line 2, is not an example" in refusal(path)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "none.tsv")
    assert "There is no file" in refusal(tmp_path)
    path = tmp_path / "a.tsv.xz"
    path.write_bytes(b"not packed")
    assert "cannot be unpacked" in refusal(path)
    path.write_bytes(lzma.compress(TSV.encode())[:-20])
    assert "cannot be unpacked" in refusal(path)


def test_an_empty_file_has_no_examples(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.touch()
    assert list(read_examples(path)) == []
