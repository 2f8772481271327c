"""Examples in files: every format gives the same examples, every wrong line is named."""

import json
import lzma
import tracemalloc
from pathlib import Path

import pytest

from hybrid.errors import SuiteError
from hybrid.schema import Example
from hybrid.suites import load_suite
from hybrid.suites.files import load_examples, read_examples
from hybrid.suites.tables import LONGEST_LINE

TSV = "news\tThe house is old.\tDas Haus ist alt.\nted\tGood\u2028morning\tGuten\u2028Morgen\n"
EXPECTED = [
    Example("1", "news", "The house is old.", ("Das Haus ist alt.",)),
    Example("2", "ted", "Good\u2028morning", ("Guten\u2028Morgen",)),
]
GOOD = '{"source": "a", "references": ["b"]}\n'


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, columns: dict[str, str] | None = None) -> str:
    """What both readers say: one sentence with the file."""
    for read in (lambda: list(read_examples(path, columns)), lambda: load_examples(path, columns)):
        with pytest.raises(SuiteError) as caught:
            read()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    return str(caught.value)


def suite_refusal(path: Path, columns: dict[str, str] | None = None) -> str:
    """What only a suite is refused for; `read_examples` serves the same lines."""
    assert list(read_examples(path, columns)) or path.stat().st_size == 0
    with pytest.raises(SuiteError) as caught:
        load_examples(path, columns)
    return str(caught.value)


def test_tsv(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", TSV)
    assert list(read_examples(path)) == EXPECTED
    assert load_examples(path) == tuple(EXPECTED)
    written(path, TSV.replace("\n", "\r\n"))  # from Windows
    assert list(read_examples(path)) == EXPECTED
    written(path, b"\xef\xbb\xbf" + TSV.rstrip("\n").encode())  # a byte-order mark, and no last line end
    assert list(read_examples(path)) == EXPECTED


def test_jsonl_as_bundled(tmp_path: Path) -> None:
    rows = [
        {"id": "x-1", "domain": "news", "source": "Long\ntext.", "references": ["One.", "Two."]},
        {"id": 7, "source": "Other text.", "references": "Short."},
        {"source": "A third.", "reference": "Three."},
    ]
    path = written(tmp_path / "a.jsonl", "\ufeff" + "".join(json.dumps(row) + "\n" for row in rows))
    expected = (
        Example("x-1", "news", "Long\ntext.", ("One.", "Two.")),
        Example("7", "all", "Other text.", ("Short.",)),
        Example("3", "all", "A third.", ("Three.",)),
    )
    assert load_examples(path) == expected
    assert load_examples(path.rename(tmp_path / "A.v2.NDJSON")) == expected


def test_jsonl_with_one_or_several_summaries(tmp_path: Path) -> None:
    rows = [
        {"source": "wiki", "document": "Long\ntext.", "summary": "Short."},
        {"source": "wiki", "document": "Other text.", "summaries": ["One.", "Two."]},
    ]
    path = written(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert list(read_examples(path)) == [
        Example("1", "wiki", "Long\ntext.", ("Short.",)),
        Example("2", "wiki", "Other text.", ("One.", "Two.")),
    ]


def test_named_columns_of_jsonl(tmp_path: Path) -> None:
    row = {"n": 4, "translation": {"en": "a", "de": "b"}, "about": {"topic": "t"}, "x.y": "dotted"}
    path = written(tmp_path / "a.jsonl", json.dumps(row))
    columns = {"source": "translation.en", "reference": "translation.de"}
    assert load_examples(path, columns) == (Example("1", "all", "a", ("b",)),)
    columns |= {"id": "n", "domain": "about.topic", "source": "x.y"}
    assert load_examples(path, columns) == (Example("4", "t", "dotted", ("b",)),)


def test_named_columns_of_tsv(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "key\ten\tfr\tde \nk1\ta\tx\tb\nk2\tc\ty\td\n")
    columns = {"source": "en", "reference": "de"}
    assert load_examples(path, columns) == (
        Example("2", "all", "a", ("b",)),
        Example("3", "all", "c", ("d",)),
    )
    columns |= {"id": "key", "domain": "fr"}
    assert load_examples(path, columns)[1] == Example("k2", "y", "c", ("d",))


def test_packed_files_hold_the_same(tmp_path: Path) -> None:
    assert list(read_examples(written(tmp_path / "a.tsv.xz", lzma.compress(TSV.encode())))) == EXPECTED
    path = written(tmp_path / "a.jsonl.xz", lzma.compress(GOOD.encode()))
    assert list(read_examples(path)) == [Example("1", "all", "a", ("b",))]
    zstandard = pytest.importorskip("zstandard")
    path = written(tmp_path / "a.tsv.zst", zstandard.ZstdCompressor().compress(TSV.encode() * 5000))
    assert [e.source for e in read_examples(path)] == [e.source for e in EXPECTED] * 5000


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"only\ttwo", "the line has 2 columns and the first one 3"),
        (b"one\ttwo\tthree\tfour", "the line has 4 columns and the first one 3"),
        ("Käse\tin\tLatin-1".encode("latin-1"), "is not UTF-8 text (byte 0xE4 at position 2)"),
        (b"bad\tbytes \xff\xfe\there", "is not UTF-8 text (byte 0xFF at position 11)"),
    ],
)
def test_a_wrong_tsv_line_is_named(tmp_path: Path, line: bytes, error: str) -> None:
    path = written(tmp_path / "a.tsv", TSV.encode() + line + b"\n" + TSV.encode())
    message = refusal(path)
    assert f"{path}, line 3" in message
    assert error in message
    examples = []
    with pytest.raises(SuiteError):
        examples.extend(read_examples(path))
    assert examples == EXPECTED  # what came before it was served


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("{not json}", "not JSON"),
        ("[" * 100_000, "not JSON"),  # nested too deeply
        ('{"source": "a", "summary": "b"}', "no column 'reference'; available: source, summary"),
        ('{"document": "a", "source": "b"}', "no column 'reference'; available: document, source"),
        ('{"source": "a", "references": []}', "there is no reference"),
        ('{"source": "a", "references": [null]}', "neither a text nor a list of texts"),
        ('{"source": "a", "references": {"0": "b"}}', "neither a text nor a list of texts"),
        ('{"document": "b", "summaries": []}', "there is no reference"),
        ('{"source": 3, "references": ["b"]}', "'source' is not a text but the value 3"),
        ('{"source": null, "references": ["b"]}', "'source' is not a text but empty (null)"),
        ('{"source": "a", "references": null}', "neither a text nor a list"),
        ('{"id": 1.5, "source": "a", "references": "b"}', "'id' is neither a text nor a whole number"),
        ("[1, 2]", "no JSON object"),
        ("null", "no JSON object"),
        ("{}", "no column 'reference'; available: none"),
    ],
)
def test_a_wrong_json_line_is_named(tmp_path: Path, line: str, error: str) -> None:
    path = written(tmp_path / "a.jsonl", GOOD + line + "\n")
    message = refusal(path)
    assert message.startswith(f"{path}, line 2: ")
    assert error in message


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('{"source": " ", "references": ["b"]}', "the source is empty"),
        ('{"source": "a", "references": ""}', "the reference is empty"),
        ('{"source": "a", "references": ["b", " "]}', "the reference is empty"),
        (r'{"source": "a\u0000", "references": ["b"]}', "control character (U+0000) at position 2"),
        (r'{"source": "a", "references": ["bb\u0085"]}', "control character (U+0085) at position 3"),
        (r'{"source": "a\ud800", "references": ["b"]}', "control character (U+D800) at position 2"),
        ('{"id": "1", "source": "c", "references": ["b"]}', "the id '1' is already that of"),
    ],
)
def test_what_a_suite_may_not_hold_is_named(tmp_path: Path, line: str, error: str) -> None:
    path = written(tmp_path / "a.jsonl", GOOD + line + "\n")
    message = suite_refusal(path)
    assert message.startswith(f"{path}, line 2: ")
    assert error in message


def test_columns_that_do_not_exist(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "en\tfr\nx\ty\n")
    message = refusal(path, {"source": "en", "reference": "de"})
    assert f"{path}, line 1: there is no column 'de'; available: en, fr" in message
    path = written(tmp_path / "a.jsonl", '{"t": {"en": "a", "fr": "b"}, "n": 1}')
    assert "no column 't.de'; available: n, t.en, t.fr" in refusal(
        path, {"source": "t.en", "reference": "t.de"}
    )
    assert "'t' is not a text but a group of columns" in refusal(path, {"source": "t", "reference": "t.en"})
    many = {f"c{i:03}": "x" for i in range(200)}
    assert refusal(written(path, json.dumps(many))).endswith("c018, c019 and 180 more.")
    with pytest.raises(SuiteError, match=r"no 'target' .* it has id, domain, source, reference"):
        load_examples(path, {"target": "de"})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("en\tde\na\tb\na\n", "line 3: the line has 1 column and the first one 2"),
        ("en\tde\na\tb\tc\n", "line 2: the line has 3 columns and the first one 2"),
        ("en\ten\na\tb\n", "line 1: two columns are named 'en'"),
    ],
)
def test_wrong_tsv_with_names(tmp_path: Path, text: str, error: str) -> None:
    assert error in refusal(written(tmp_path / "a.tsv", text), {"source": "en", "reference": "de"})


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    for encoding in ("utf-16", "utf-32"):
        assert "is UTF-16 text; save it as UTF-8" in refusal(written(path, TSV.encode(encoding)))
    assert "control character (U+0000)" in suite_refusal(written(path, "a\tb\tc\n".encode("utf-16-le")[:-1]))


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst"])
def test_a_line_of_any_length_needs_little_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.tsv{suffix}"
    size = 200_000_000 if not suffix else 20_000_000
    if suffix == ".xz":
        written(path, lzma.compress(TSV.encode() + bytes(size), preset=0))
    elif suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")
        written(path, zstandard.ZstdCompressor().compress(TSV.encode() + bytes(size)))
    else:
        with path.open("wb") as file:
            file.write(TSV.encode())
            file.truncate(size)
    tracemalloc.start()
    try:
        assert f"{path}, line 3, is longer than 1,000,000 characters" in refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_a_line_at_the_limit_is_read(tmp_path: Path) -> None:
    line = "a\tb\t" + "x" * (LONGEST_LINE - 5) + "\n"
    assert len(load_examples(written(tmp_path / "a.tsv", line * 2))) == 2
    assert "line 1, is longer" in refusal(written(tmp_path / "a.tsv", "x" + line))


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "none.tsv")
    assert "is a folder; name a file in it" in refusal(tmp_path)
    assert "cannot be read: File name too long" in refusal(tmp_path / ("x" * 300 + ".tsv"))
    assert "ends with .tsv or .csv or .jsonl or .ndjson" in refusal(written(tmp_path / "a.tab", TSV))
    assert "no known format" in refusal(written(tmp_path / "a.tsv.gz", TSV))
    assert "no known format" in refusal(written(tmp_path / "a", TSV))
    path = written(tmp_path / "a.tsv.xz", b"not packed")
    assert "cannot be unpacked" in refusal(path)
    assert "cannot be unpacked" in refusal(written(path, lzma.compress(TSV.encode())[:-20]))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.tsv", TSV)

    def refuse(*_args: object) -> None:  # the superuser, as in a container, may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert f"{path} cannot be read: Permission denied." == refusal(path)


def test_an_empty_file_has_no_examples(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "")
    assert list(read_examples(path)) == []
    assert suite_refusal(path) == f"{path} is empty; a suite has at least one example."
    with pytest.raises(SuiteError, match="is empty"):  # names alone are no example
        load_examples(written(path, "source\treference\n"), {"source": "source"})


def test_the_suite_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "a.tsv", TSV)
    monkeypatch.chdir(tmp_path)
    suite = load_suite("file:a.tsv", "translate-en-de")
    assert (suite.name, suite.task, suite.licence) == ("file:a.tsv", "translate-en-de", "not stated")
    assert suite.examples == tuple(EXPECTED)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_suite("file:~/a.tsv", "summarize").content_hash != suite.content_hash  # another task
    with pytest.raises(
        SuiteError, match=r"file:a\.tsv does not say its task; choose one \(--task\): translate-en-de, summ"
    ):
        load_suite("file:a.tsv")
    with pytest.raises(SuiteError, match=r"no task 'a poem'; available: translate-en-de, summarize"):
        load_suite("file:a.tsv", "a poem")
    assert load_suite("file:a.tsv", "poem").task == "poem"  # of some pair's own
    written(tmp_path / "~a.tsv", TSV)  # a name that only begins so
    assert load_suite("file:~a.tsv", "translate-en-de").content_hash == suite.content_hash
    with pytest.raises(SuiteError, match="write file:PATH"):
        load_suite("file:", "summarize")


def test_a_suite_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("hybrid.suites.files.LARGEST", 100)
    (tmp_path / "a.tsv").write_text("news\tsource\treference\n" * 10, "utf-8")
    with pytest.raises(SuiteError, match="has more than 100 characters; take a part of it"):
        load_examples(tmp_path / "a.tsv")
    assert len(load_examples(tmp_path / "a.tsv", limit=5)) == 5
