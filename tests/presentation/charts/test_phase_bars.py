"""Stacked bars whose parts meet, with their sum beside them; and the bar of one answer."""

import re

import pytest

from hybrid.presentation.charts.phase_bars import Bar, phase_bars, time_bar, time_bar_in_words
from hybrid.schema import BASELINE, PHASES, System

BARS = [
    Bar("LLM alone", BASELINE, {"encode": 8.0, "decode": 92.0}),
    Bar("<b>LLM alone", System("hybrid", "torch"), {"encode": 8.0, "project": 1.0, "decode": 11.0}),
]
PHASES_S = {"tokenize": 0.0006, "encode": 0.028, "project": 0.0025, "prefill": 0.002, "decode": 0.03}


def test_each_phase_is_a_trace_in_order_with_the_systems_tint():
    figure = phase_bars(BARS, "ms")
    assert [trace.name for trace in figure.data] == ["encode", "project", "decode"]
    assert figure.layout.barmode == "stack"
    assert list(figure.data[0].marker.color) == ["#80b8d8", "#80ceb9"]  # half blue, half green, on white
    assert list(figure.data[1].x) == [0, 1]


def test_on_a_dark_page_faint_phases_are_dark():
    colors = phase_bars(BARS, "ms", ground="#000000").data[0].marker.color
    assert list(colors) == ["#003959", "#004f3a"]


def test_the_sum_stands_at_the_end_of_its_bar():
    notes = phase_bars(BARS, "ms").layout.annotations
    assert [(annotation.x, annotation.y, annotation.text) for annotation in notes] == [
        (100, 0, "100 ms"),
        (20, 1, "20.0 ms"),
    ]
    shares = phase_bars(BARS, "ms", share=True)
    assert [(annotation.x, annotation.text) for annotation in shares.layout.annotations] == [
        (100, "100 ms"),
        (100, "20.0 ms"),
    ]
    assert sum(trace.x[1] for trace in shares.data) == 100


def test_bars_of_the_same_name_stay_apart_and_names_are_no_tags():
    figure = phase_bars([BARS[1], BARS[1]], "ms")
    assert list(figure.data[0].y) == [0, 1]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;LLM alone "] * 2
    long = Bar("Lossless (hybrid drafts) in <b>onnx</b> (run d653)", System("lossless"), {"verify": 1.0})
    (name,) = phase_bars([long], "ms").layout.yaxis.ticktext
    assert name.split("<br>") == ["Lossless (hybrid ", "drafts) in ", "&lt;b&gt;onnx&lt;/b&gt; (run "]
    assert "<b>" not in "".join(str(trace.hovertext) for trace in figure.data)


def test_a_system_of_no_time_divides_by_nothing():
    assert phase_bars([Bar("a", BASELINE, {"decode": 0.0})], "ms", share=True).data == ()


def test_what_is_predicted_is_hatched():
    assert {trace.marker.pattern.shape for trace in phase_bars(BARS, "ms", hatched=True).data} == {"/"}
    assert {trace.marker.pattern.shape for trace in phase_bars(BARS, "ms").data} == {""}


def test_time_bar_stacks_the_phases_in_order_in_milliseconds():
    figure = time_bar(PHASES_S, System("hybrid"), longest_s=0.2)
    assert [bar.x[0] for bar in figure.data] == pytest.approx([1000 * PHASES_S[p] for p in PHASES_S])
    assert list(PHASES_S) == [phase for phase in PHASES if phase in PHASES_S]
    assert figure.layout.xaxis.range == (0, 200)


def test_time_bar_names_each_phase_with_its_time_and_colour():
    figure = time_bar(PHASES_S, BASELINE, longest_s=0.2)
    for note, bar in zip(figure.layout.annotations, figure.data, strict=True):
        assert bar.marker.color in note.text
        assert bar.marker.color.startswith("rgba(0,114,178,")  # the LLM's blue
    plain = [re.sub(r"<[^>]*>■?", "", note.text).strip() for note in figure.layout.annotations]
    assert plain == [
        "tokenize 0.60 ms", "encode 28.0 ms", "project 2.50 ms", "prefill 2.00 ms", "decode 30.0 ms",
    ]  # fmt: skip


def test_empty_time_bar_is_as_high_as_a_full_one():
    empty, full = time_bar({}, BASELINE, 1.0), time_bar(PHASES_S, BASELINE, 0.2)
    assert empty.layout.height == full.layout.height
    assert not empty.data


def test_time_bar_in_words():
    assert time_bar_in_words({"encode": 0.028, "decode": 0.03}, System("slm")) == (
        "Where the time went, SLM alone: encode 28.0 ms, decode 30.0 ms."
    )
    assert "no answer yet" in time_bar_in_words({}, BASELINE)
