"""The tables that people have are read as they mean them, or refused with how to say it."""

import json
import lzma
from io import BytesIO
from pathlib import Path

import pytest

from hybrid.errors import SuiteError
from hybrid.schema import Example
from hybrid.suites import load_suite
from hybrid.suites.files import load_examples
from hybrid.suites.tables import read_rows, text_lines

PAIRS = (("Good morning, all.", "Guten Morgen zusammen."), ("The house; it is old.", "Das Haus ist alt."))
SWAPPED = "reference\tsource\n" + "".join(f"{reference}\t{source}\n" for source, reference in PAIRS)
NUMBERED = 'id;"source";"reference"\n' + "".join(f'{a[0]};"{a}";"{b}"\n' for a, b in PAIRS)
OBJECTS = "".join(f'{{"source": "{a}", "reference": "{b}"}}\n\n' for a, b in PAIRS)


def texts(path: Path, columns: dict[str, str] | None = None) -> tuple[tuple[str, str], ...]:
    return tuple((e.source, *e.references) for e in load_examples(path, columns))


def written(path: Path, content: str) -> Path:
    path.write_bytes(content.encode())
    return path


def lines(delimiter: str, *head: str, quote: str = "") -> str:
    rows = [delimiter.join(f"{quote}{cell}{quote}" for cell in pair) for pair in PAIRS]
    return "\n".join([*head, *rows]) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", lines("\t")),
        ("a.tsv", lines("\t").replace("\n", "\r\n")),
        ("a.tsv", lines("\t").replace("\n", "\r")),  # as old Macs wrote it
        ("a.tsv", "\ufeff" + lines("\t", "Source\tReference") + "\n\r\n \n"),
        ("a.tsv", "\n" + SWAPPED.replace("\n", "\n\n")),
        ("a.csv", lines(",", quote='"')),
        ("a.csv", lines(", ", quote='"')),
        ("a.csv", lines(";", "source;target", quote='"')),
        ("a.csv", NUMBERED),
        ("a.csv", lines("\t")),
        ("a.csv", lines(",", quote='"') + ",\n , \n"),  # rows of nothing, as spreadsheets leave them
        ("a.jsonl", OBJECTS),
    ],
)
def test_the_commonest_files_just_work(tmp_path: Path, name: str, content: str) -> None:
    assert texts(written(tmp_path / name, content)) == PAIRS


@pytest.mark.parametrize("packed", [False, True])
def test_two_plain_files_side_by_side(tmp_path: Path, packed: bool) -> None:
    sources, references = (tmp_path / "a.en", tmp_path / ("a.de.xz" if packed else "a.de"))
    written(sources, "Good.\n\nLast.\n")
    answers = b"Gut.\n\nLetzter.\n\n"
    references.write_bytes(lzma.compress(answers) if packed else answers)
    address = f"{sources},{references}"
    expected = (Example("1", "all", "Good.", ("Gut.",)), Example("3", "all", "Last.", ("Letzter.",)))
    assert load_examples(address) == expected
    assert load_examples(f"{address},{sources}")[0].references == ("Gut.", "Good.")
    suite = load_suite(f"file:{address}", "translate-en-de")
    assert suite.name == f"file:{sources.name},{references.name}"  # no folder of this machine


@pytest.mark.parametrize(
    ("contents", "error"),
    [
        (("a\nb\n", "c\n"), "b.de ends before line 2, where another file goes on"),
        (("a\nb\n", "c\nd\n\ne"), "a.en ends before line 3"),
        (("a\nb\n", "c\n \n"), "b.de ends before line 2"),
        (("a\n\nb", "c\nd\ne"), "a.en, line 2: the source is empty"),
        (("a\nb\nc", "d\n\nf"), "a.en, line 2: the reference is empty"),
        (("", ""), "is empty; a suite has at least one example"),
    ],
)
def test_files_that_do_not_go_together(tmp_path: Path, contents: tuple[str, str], error: str) -> None:
    paths = [written(tmp_path / name, text) for name, text in zip(("a.en", "b.de"), contents, strict=True)]
    with pytest.raises(SuiteError) as caught:
        load_examples(",".join(map(str, paths)))
    assert error in str(caught.value)


def test_tables_side_by_side_and_files_that_are_not_there(tmp_path: Path) -> None:
    table, plain = written(tmp_path / "a.tsv", "a\tb\n"), written(tmp_path / "b.de", "c\n")
    for address, error in (
        (f"{plain},{table}", "a.tsv is a table; files side by side have a text a line"),
        (f"{plain},{tmp_path}/none", "There is no file .*none"),
        (str(plain), "b.de is of no known format; .* SOURCES,REFERENCES"),
    ):
        with pytest.raises(SuiteError, match=error):
            load_examples(address)
    with pytest.raises(SuiteError, match="no columns to name"):
        load_examples(f"{plain},{plain}", {"source": "1"})
    comma = written(tmp_path / "a,b.tsv", "a\tb\n")  # one file, whatever its name holds
    assert texts(comma) == (("a", "b"),)


def test_columns_by_number(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "x\tone\tu\teins\nen\ttwo\tv\tzwei\n")
    assert texts(path, {"source": "2", "reference": "4"}) == (("one", "eins"), ("two", "zwei"))
    assert load_examples(path, {"source": "2", "reference": "4", "domain": "1"})[1].domain == "en"
    with pytest.raises(SuiteError, match="line 1: there is no column '5'; available: 1, 2, 3, 4"):
        load_examples(path, {"source": "2", "reference": "5"})
    written(path, "1\t2\none\teins\n")  # names that are numbers are names
    assert texts(path, {"source": "1", "reference": "2"}) == (("one", "eins"),)


def test_what_parts_the_columns_can_be_said(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "Well, yes;Nun, ja\nOh, no;Ach, nein\n")
    with pytest.raises(SuiteError, match="parted by comma or semicolon; say delimiter=comma"):
        load_examples(path)
    assert texts(path, {"delimiter": "semicolon"}) == (("Well, yes", "Nun, ja"), ("Oh, no", "Ach, nein"))
    columns = {"delimiter": "semicolon", "source": "2", "reference": "1"}
    assert texts(path, columns)[0] == ("Nun, ja", "Well, yes")
    for delimiter, name in (("tab", "a.tsv"), ("pipe", "a.csv")):
        with pytest.raises(SuiteError, match=r"of a \.csv: comma, semicolon, tab"):
            load_examples(written(tmp_path / name, "a;b\n"), {"delimiter": delimiter})


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.tsv", "en\tde\na\tb\n", "line 1: en, de could be texts or names of columns; name them"),
        (
            "a.tsv",
            "Source\tGerman\na\tb\n",
            "--columns): source=NAME,reference=NAME, or source=1,reference=2.",
        ),
        ("a.tsv", "source\tsource\na\tb\n", "line 1: two columns are named 'source'"),
        ("a.csv", "source,reference,source\na,b,c\n", "line 1: two columns are named 'source'"),
        ("a.jsonl", '{"source": "a", "source": "b", "reference": "c"}', "two columns are named 'source'"),
        ("a.tsv", "a\nb\n", "the line has 1 column instead of 2 (source, reference) or 3 (domain"),
        ("a.csv", "a,b,c,d\n", "the line has 4 columns instead of 2"),
        ("a.csv", "a,b\n\nc\n", "line 3: the line has 1 column and the first one 2"),
        ("a.csv", 'a,"b\n\nc"\nd,"e\n', "line 4: it is not CSV: unexpected end of data"),
        ("a.csv", 'a,b\nc,"d" e\n', "line 2: it is not CSV"),
        ("a.tsv", "source\treference\n", "is empty; a suite has at least one example"),
        ("a.tsv", "a\tb\n \u00a0\tc\n", "line 2: the source is empty"),
        ("a.tsv", "a\t\u200b\n", "line 1: the reference is empty"),
        ("a.tsv", "a\fb\tc\n", "line 1: there is a control character (U+000C) at position 2"),
    ],
)
def test_what_is_not_clear_or_wrong_is_named(tmp_path: Path, name: str, content: str, error: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_examples(written(tmp_path / name, content))
    assert error in str(caught.value)
    assert name in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_a_quoted_cell_holds_line_ends_and_is_numbered_by_its_first() -> None:
    data = 'source,reference\n"One\ntwo","He said ""no""."\nThree,Drei\n'
    rows = list(read_rows("a.csv", text_lines("a.csv", BytesIO(data.encode())), ".csv"))
    assert [number for number, _ in rows] == [2, 4]
    assert rows[0][1] == {"source": "One\ntwo", "reference": 'He said "no".'}


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\u0085", "\f", "\v", "\x1c", "\x1e"])
@pytest.mark.parametrize("kind", [".tsv", ".csv", ".jsonl", ".txt"])
def test_only_line_ends_end_a_line(kind: str, sign: str) -> None:
    cell = f"Good{sign}morning."
    content = {
        ".tsv": f"source\n{cell}\n", ".csv": f"source\n{cell}\n", ".txt": f"{cell}\n",
        ".jsonl": json.dumps({"source": cell}),
    }[kind]  # fmt: skip
    (row,) = read_rows("a", text_lines("a", BytesIO(content.encode())), kind, prompts=True)
    assert row[1] == {"source": cell}
