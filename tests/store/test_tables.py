"""CSV comes back as it was, through csv, pandas and a spreadsheet's eyes."""

import csv
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pandas
import pytest

from hybrid.errors import StoreError
from hybrid.store.tables import Cell, original, replacing, safe, write_csv

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-", '=HYPERLINK("http://x","y")')
HARMLESS = (
    "",
    "a=1",
    " =1",
    "'tis",
    "''",
    "1",
    "–1",
    "Grüße, 😀",
    '"quoted"',
    "a\nb",
    "a\r\nb",
    "a\rb",
    "\u2028",
    ";",
)
APOSTROPHES = ("'=1", "''=1", "'-")


def written(columns: Sequence[str], rows: Sequence[Sequence[Cell]], bom: bool = False) -> bytes:
    file = io.BytesIO()
    assert write_csv(file, columns, rows, bom) == len(rows)
    return file.getvalue()


def cells(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline="")))


def test_a_table_is_plain_csv() -> None:
    data = written(("name", "n", "share", "old"), [("a", 3, 0.25, True), ('b "c", d', -1, None, False)])
    assert data == b'name,n,share,old\r\na,3,0.25,true\r\n"b ""c"", d",-1,,false\r\n'


def test_no_rows_are_a_header() -> None:
    assert written(("a", "b"), []) == b"a,b\r\n"


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_like_a_formula_gets_an_apostrophe(text: str) -> None:
    ((cell,),) = cells(written(("text",), [(text,)]))[1:]
    assert cell == "'" + text
    assert original(cell) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_left_alone(text: str) -> None:
    assert safe(text) == text
    assert original(text) == text


def test_numbers_are_left_alone() -> None:
    assert written(("a", "b"), [(-0.5, -3)]) == b"a,b\r\n-0.5,-3\r\n"


def test_every_text_comes_back(tmp_path: Path) -> None:
    texts = [*FORMULAS, *HARMLESS, *APOSTROPHES, "x" * 100_000, "\0", "\x1b[2J", "a\udc80b"]
    assert len({safe(text) for text in texts}) == len(texts)
    rows = [(text, i - 10, i / 7) for i, text in enumerate(texts)]
    data = written(("text", "n", "share"), rows)
    printable = [text.replace("\udc80", r"\udc80") for text in texts]

    assert [original(row[0]) for row in cells(data)[1:]] == printable
    (tmp_path / "a.csv").write_bytes(data)
    frame = pandas.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert list(map(original, frame["text"])) == printable
    assert list(frame["n"]) == [n for _, n, _ in rows]
    assert list(frame["share"]) == [share for _, _, share in rows]


def test_numbers_come_back_to_the_last_digit() -> None:
    values = [0.1 + 0.2, 1 / 3, 1e-17, 123456789.123456789, 2.0**60, -1e300]
    assert [float(row[0]) for row in cells(written(("x",), [(v,) for v in values]))[1:]] == values


def test_a_byte_order_mark_is_an_option() -> None:
    assert written(("a",), [("ü",)], bom=True) == b"\xef\xbb\xbfa\r\n\xc3\xbc\r\n"
    assert not written(("a",), [("ü",)]).startswith(b"\xef")
    assert list(pandas.read_csv(io.BytesIO(written(("a",), [("ü",)], bom=True)))) == ["a"]


def test_rows_are_written_as_they_come() -> None:
    file = io.BytesIO()

    def rows() -> Iterator[tuple[int]]:
        for i in range(3):
            yield (i,)
            assert file.getvalue().endswith(b"%d\r\n" % i)

    assert write_csv(file, ("i",), rows()) == 3


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a row has 1 cells and there are 2 columns"):
        written(("a", "b"), [(1,)])


# Replacing a file


def test_a_file_is_replaced_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("old")
    for error in (KeyboardInterrupt, ZeroDivisionError):
        with suppress(error), replacing(path) as file:
            file.write(b"new")
            raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_may_be_read_by_others_as_the_system_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replacing(tmp_path / "a.csv"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o640


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    with replacing(tmp_path / "link.csv") as file:
        file.write(b"new")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text() == "new"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none/a.csv", "No such file or directory"), (".", "Is a directory"), ("f/a", "Not a directory")],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(StoreError, match=f"cannot be written: {reason}"), replacing(tmp_path / name):
        pass


def test_a_link_to_itself_is_said(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(StoreError, match="cannot be written: Too many levels"), replacing(tmp_path / "loop"):
        pass


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no such folder here")
def test_what_is_open_already_is_written_where_it_is(tmp_path: Path) -> None:
    """As >(command), a pipe, and as /dev/stdout of a shell's >> file, which must not be emptied."""
    reading, writing = os.pipe()
    for name in (f"/dev/fd/{writing}", f"/proc/self/fd/{writing}"):
        with replacing(Path(name)) as file:
            file.write(b"piped")
        assert os.read(reading, 99) == b"piped"
    os.close(reading)
    with pytest.raises(BrokenPipeError), replacing(Path(f"/dev/fd/{writing}")) as file:
        file.write(b"nobody reads")
    os.close(writing)
    path = tmp_path / "a.csv"
    path.write_text("old ")
    with path.open("ab") as shell, replacing(Path(f"/dev/fd/{shell.fileno()}")) as file:
        file.write(b"new")
    assert path.read_text() == "old new"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_full_disk_is_said() -> None:
    reason = "cannot be written: No space left on device"
    with pytest.raises(StoreError, match=reason), replacing(Path("/dev/full")) as file:
        file.write(b"x" * 100_000)
    assert Path("/dev/full").is_char_device()
