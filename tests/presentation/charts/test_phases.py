"""Stacked bars whose parts meet, with their sum beside them."""

from hybrid.presentation.charts.phases import Bar, phase_bars
from hybrid.schema import BASELINE, System

BARS = [
    Bar("LLM alone", BASELINE, {"encode": 8.0, "decode": 92.0}),
    Bar("<b>LLM alone", System("hybrid", "torch"), {"encode": 8.0, "project": 1.0, "decode": 11.0}),
]


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
    assert [(one.x, one.y, one.text) for one in notes] == [(100, 0, "100 ms"), (20, 1, "20 ms")]
    shares = phase_bars(BARS, "ms", share=True)
    assert [(one.x, one.text) for one in shares.layout.annotations] == [(100, "100 ms"), (100, "20 ms")]
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
