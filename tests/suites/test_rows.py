"""Which column is read for which part of an example."""

from pathlib import Path

import pytest

from hybrid.errors import InputError, SuiteError
from hybrid.models.pair_files import load_tokenizer
from hybrid.models.prompts import TextCodec
from hybrid.schema import Example
from hybrid.suites.rows import RowError, check_columns, checked, remarks, to_example, without_controls


def test_a_name_with_a_dot_goes_before_a_path() -> None:
    row = {"a.b": "name", "a": {"b": "path"}, "reference": "r"}
    assert to_example(row, {"source": "a.b"}, "1").source == "name"


def test_columns_that_are_not_named_have_their_own_names() -> None:
    row = {"id": "i", "domain": "d", "source": "s", "reference": "r", "references": ["one", "two"]}
    assert to_example(row, None, "1") == Example("i", "d", "s", ("one", "two"))
    assert to_example(row, {"reference": "reference"}, "1") == Example("i", "d", "s", ("r",))
    assert to_example({"source": "s", "reference": "r"}, {}, "9") == Example("9", "all", "s", ("r",))


def test_a_named_column_must_be_there() -> None:
    with pytest.raises(RowError, match="no column 'topic'; available: reference, source"):
        to_example({"source": "s", "reference": "r"}, {"domain": "topic"}, "1")
    with pytest.raises(RowError, match=r"no column 'source\.en'"):  # a text has no columns
        to_example({"source": "s", "reference": "r"}, {"source": "source.en"}, "1")


@pytest.mark.parametrize("value", [True, None, [], 0.5])
def test_an_id_is_a_text_or_a_whole_number(value: object) -> None:
    with pytest.raises(RowError, match="'id' is neither a text nor a whole number"):
        to_example({"id": value, "source": "s", "reference": "r"}, None, "1")


def test_roles() -> None:
    check_columns(None)
    check_columns({"source": "x", "reference": "y", "id": "z", "domain": "d"})
    with pytest.raises(SuiteError, match="no 'references' to take"):
        check_columns({"references": "x"})


def test_checked_keeps_the_order_and_names_both_places_of_an_id() -> None:
    a, b = Example("a", "d", "s", ("r",)), Example("b", "d", "s", ("r",))
    assert checked([("1", b), ("2", a)], "x") == (b, a)
    with pytest.raises(SuiteError, match=r"^row 3: the id 'a' is already that of row 1; give every"):
        checked([("row 1", a), ("row 2", b), ("row 3", a)], "x")
    with pytest.raises(SuiteError, match=r"^x is empty"):
        checked([], "x")


def test_what_to_know_of_a_suites_texts_is_said() -> None:
    plain = Example("1", "d", 'He said "no".', ('"Nein"',))
    odd = Example("2", "d", "cafe\u0301", ("a\u00a0b",))
    quoted = Example("3", "d", '"He said ""no""."', ("c",))
    assert remarks([plain], lines=True) == ()
    changed, marks = remarks([plain, odd, quoted], lines=True)
    assert changed.startswith("1 of 3 examples hold texts that are normalized before they are read")
    assert changed.endswith("(accents composed, white space reduced to single blanks).")
    assert marks.startswith("1 of 3 examples hold texts quoted like the cells of a CSV; save a TSV as .csv")


def test_what_the_engines_refuse_is_what_a_suite_refuses(tiny_tokenizer_file: Path) -> None:
    tokenizer = load_tokenizer(tiny_tokenizer_file)
    for code in [*range(0x180), 0x2028, 0xD7FF, 0xD800, 0xDFFF, 0xE000, 0xFEFF, 0xFFFF, 0x1F600]:
        text = f"x{chr(code)}y"
        if without_controls(text) == text:
            TextCodec(tokenizer, 160).encode("summarize", [text])
            continue
        assert without_controls(text) == "x y"
        with pytest.raises(InputError, match=f"U\\+{code:04X}"):
            TextCodec(tokenizer, 160).encode("summarize", [text])
