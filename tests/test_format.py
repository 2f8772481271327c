"""Numbers and foreign names as figures show them."""

import pytest

from hybrid.format import LONGEST_NAME
from hybrid.presentation.charts import label, plain_times, shown, times


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(3.0, "3.0× faster"), (1.04, "As fast"), (0.97, "As fast"), (0.5, "2.0× slower"), (57.2, "57× faster")],
)
def test_a_headline_says_how_much_faster(ratio: float, words: str):
    assert plain_times(ratio) == words


@pytest.mark.parametrize(
    ("ratio", "words"),
    [(57.2, "57×"), (9.94, "9.9×"), (1.996, "2.0×"), (1.994, "1.99×"), (0.5, "0.50×"), (0.017, "0.017×")],
)
def test_small_ratios_have_two_decimals(ratio: float, words: str):
    assert times(ratio) == words


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("everyday-en-de", "everyday-en-de"),
        ("schön 日本", "schön 日本"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("abc\u202edef", "abc\\u202edef"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
    ],
)
def test_what_does_not_print_or_turns_text_around_is_spelled_out(name: str, seen: str):
    assert shown(name) == seen


def test_long_names_are_cut():
    assert shown("x" * 1000) == "x" * (LONGEST_NAME - 1) + "…"
    assert shown("x" * LONGEST_NAME) == "x" * LONGEST_NAME


def test_plotly_finds_no_tag_in_a_label():
    assert (
        label('<a href="http://a.b">x</a> & <b>y')
        == '&lt;a href="http://a.b"&gt;x&lt;/a&gt; &amp; &lt;b&gt;y'
    )
