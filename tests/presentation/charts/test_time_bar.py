"""What the figures hold: amounts, units, colours."""

import re

import pytest

from hybrid.format import milliseconds
from hybrid.presentation.charts import time_bar, time_bar_in_words
from hybrid.schema import BASELINE, PHASES, System

SLM = System("slm")
PHASES_S = {"tokenize": 0.0006, "encode": 0.028, "project": 0.0025, "prefill": 0.002, "decode": 0.03}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (1.2404, "1,240 ms"),
        (0.0412, "41 ms"),
        (0.00996, "10 ms"),
        (0.00518, "5.2 ms"),
        (0.00031, "0.31 ms"),
    ],
)
def test_milliseconds(seconds, words):
    assert milliseconds(seconds) == words


def test_time_bar_stacks_the_phases_in_order_in_milliseconds():
    figure = time_bar(PHASES_S, System("hybrid"), longest_s=0.2)
    assert figure.layout.barmode == "stack"
    assert [bar.x[0] for bar in figure.data] == pytest.approx(
        [1000 * PHASES_S[p] for p in PHASES if p in PHASES_S]
    )
    assert figure.layout.xaxis.range == (0, 200)
    assert figure.layout.xaxis.ticksuffix == " ms"


def test_time_bar_names_each_phase_with_its_time_and_colour():
    figure = time_bar(PHASES_S, BASELINE, longest_s=0.2)
    for note, bar in zip(figure.layout.annotations, figure.data, strict=True):
        assert bar.marker.color in note.text
        assert bar.marker.color.startswith("rgba(0,114,178,")  # the LLM's blue
    plain = [re.sub(r"<[^>]*>■?", "", note.text).strip() for note in figure.layout.annotations]
    assert plain == ["tokenize 0.60 ms", "encode 28 ms", "project 2.5 ms", "prefill 2.0 ms", "decode 30 ms"]


def test_empty_time_bar_is_as_high_as_a_full_one():
    empty, full = time_bar({}, SLM, 1.0), time_bar(PHASES_S, SLM, 0.2)
    assert empty.layout.height == full.layout.height
    assert not empty.data
    assert not empty.layout.xaxis.visible


def test_time_bar_in_words():
    assert time_bar_in_words({"encode": 0.028, "decode": 0.03}, SLM) == (
        "Where the time went, SLM alone: encode 28 ms, decode 30 ms."
    )
    assert "no answer yet" in time_bar_in_words({}, BASELINE)
