"""Every kind of quantity as text, for terminal, pages and report alike."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hybrid import format as text
from hybrid.format import LONGEST_NAME, label, price_per_hour, printable


@dataclass(frozen=True)
class Ends:
    value: float
    low: float | None = None
    high: float | None = None


# function, what it is given, the text
GOLDEN: list[tuple[Callable[..., str], tuple[object, ...], str]] = [
    (text.amount, (1240.4,), "1,240"),
    (text.amount, (99.96,), "100"),
    (text.amount, (41.24,), "41.2"),
    (text.amount, (9.97,), "10.0"),
    (text.amount, (5.2,), "5.20"),
    (text.amount, (0.31,), "0.31"),
    (text.amount, (0.043,), "0.043"),
    (text.amount, (0,), "0"),
    (text.amount, (None,), "–"),
    (text.milliseconds, (1.2404,), "1,240 ms"),
    (text.milliseconds, (0.0412,), "41.2 ms"),
    (text.milliseconds, (0.0052, ""), "5.20"),
    (text.milliseconds, (None,), "–"),
    (text.milliseconds_interval, (Ends(23.8, 22.13, 128.9),), "23.8 ms [22.1, 129]"),
    (text.milliseconds_interval, (Ends(23.8),), "23.8 ms"),
    (text.duration, (40,), "40 seconds"),
    (text.duration, (7300,), "2 hours"),
    (text.clock, (62.4,), "0:01:02"),
    (text.ratio, (1234.0,), "1,234×"),
    (text.ratio, (57.24,), "57.2×"),
    (text.ratio, (1.996,), "2.0×"),
    (text.ratio, (1.994,), "1.99×"),
    (text.ratio, (1,), "1.00×"),
    (text.ratio, (1.003,), "1.003×"),
    (text.ratio, (0.5,), "0.50×"),
    (text.ratio, (0.017,), "0.017×"),
    (text.ratio, (None,), "–"),
    (text.ratio, (Ends(4.61, 4.41, 4.84),), "4.6× [4.4, 4.8]"),
    (text.ratio, (Ends(2.5, 1.04, 3.1),), "2.50× [1.04, 3.10]"),
    (text.ratio, (Ends(1.003),), "1.003×"),
    (text.ratio, (Ends(1.003, 0.99, 1.02),), "1.00× [0.99, 1.02]"),
    (text.ratio, (Ends(120.4, 110.2, 1300.0),), "120× [110, 1,300]"),
    (text.faster, (3.0,), "3.0× faster"),
    (text.faster, (0.5,), "2.0× slower"),
    (text.faster, (1.04,), "as fast"),
    (text.faster, (0.97,), "as fast"),
    (text.faster, (0.345, ("sooner", "later")), "2.9× later"),
    (text.faster, (None,), "–"),
    (text.estimate, (Ends(25.04, 19.4, 30.44), 1, "BLEU"), "25.0 BLEU [19.4, 30.4]"),
    (text.estimate, (Ends(0.987, 0.951, 1.02), 2), "0.99 [0.95, 1.02]"),
    (text.estimate, (Ends(-0.04),), "0.0"),
    (text.estimate, (None,), "–"),
    (text.difference, (Ends(-0.31, -0.72, 0.11), "BLEU"), "-0.3 BLEU [-0.7, 0.1]"),
    (text.difference, (Ends(-0.3, -0.64, -0.04),), "-0.30 [-0.64, -0.04]"),
    (text.difference, (Ends(0.9),), "+0.9"),
    (text.difference, (Ends(-0.004, -2.344, 2.179),), "0.0 [-2.3, 2.2]"),
    (text.difference, (Ends(0.0, -0.04, 0.04),), "0.0 [0.0, 0.0]"),
    (text.interval, (33.14, 1235.2, 1), " [33.1, 1,235.2]"),
    (text.interval, (None, 2.0, 1), ""),
    (text.percent, (0.974,), "97 %"),
    (text.percent, (0.9745, 1), "97.5 %"),
    (text.percent, (None,), "–"),
    (text.p_value, (0.0409,), "p=0.041"),
    (text.p_value, (0.0004,), "p<0.001"),
    (text.size, (1.6e9,), "1.6 GB"),
    (text.size, (999.6e6,), "1.0 GB"),
    (text.size, (840.4e6,), "840 MB"),
    (text.size, (6.14e6,), "6.1 MB"),
    (text.size, (None,), "–"),
    (text.bandwidth, (18.44e9,), "18.4 GB/s"),
    (text.parameters, (6.04e6,), "6.0M"),
    (text.parameters, (783.2e6,), "783M"),
    (text.parameters, (2.85e9,), "2.9B"),
    (text.parameters, (11e9,), "11B"),
    (text.counted, (1, "prompt"), "1 prompt"),
    (text.counted, (1240, "prompt"), "1,240 prompts"),
    (text.counted, (0, "batch", "batches"), "0 batches"),
    (text.listed, ([],), ""),
    (text.listed, (["a"],), "a"),
    (text.listed, (["a", "b", "c"],), "a, b and c"),
    (text.listed, (["a", "b", "c", "d"], 2), "a, b and 2 more"),
    (text.capitalized, ("time to first token (TTFT)",), "Time to first token (TTFT)"),
    (printable, ("everyday-en-de",), "everyday-en-de"),
    (printable, ("schön 日本",), "schön 日本"),
    (printable, ("a\nb\tc",), "a\\nb\\tc"),
    (printable, ("abc\u202edef",), "abc\\u202edef"),
    (printable, ("zero\u200bwidth",), "zero\\u200bwidth"),
    (printable, ("x" * LONGEST_NAME,), "x" * LONGEST_NAME),
    (printable, ("x" * 1000,), "x" * (LONGEST_NAME - 1) + "…"),
    (
        label,
        ('<a href="http://a.b">x</a>',),
        '&lt;a href="http://a.b"&gt;x&lt;/a&gt;',
    ),
]


@pytest.mark.parametrize(("function", "given", "words"), GOLDEN)
def test_a_quantity_as_text(function: Callable[..., str], given: tuple[object, ...], words: str):
    assert function(*given) == words


def test_a_price_says_of_what_and_in_which_currency() -> None:
    assert price_per_hour(2.5) == "2.5 an hour, in your currency"
