"""The map of sizes: colours, looks, contrast, and names that stay plain."""

import pytest

from hybrid.presentation.pairings.size_map import (
    DIVERGING,
    Scale,
    Square,
    axis_name,
    heat_map,
)
from hybrid.presentation.pairings.size_map import _ink as ink
from hybrid.presentation.pairings.size_map import _luminance as luminance

EVIL = "<a href='http://a.b'>x</a>"
SQUARES = (
    Square(0, 0, "measured", 4.0, "4.0×", ("one",)),
    Square(0, 1, "predicted", 0.5, "≈0.50×", (EVIL, "y" * 150)),
    Square(1, 1, "none", None, "", ("why",)),
)


def drawn():
    ticks = {value: f"{value:g}×" for value in Scale.of("ratio", [4.0, 0.5]).ticks()}
    return heat_map(SQUARES, (["a", "b"], ["c", "d"]), "ratio", ticks, (0, 1))


def bars(figure):
    """The three traces of squares, in the order of their looks."""
    return [trace for trace in figure.data if trace.type == "bar" and trace.customdata is not None]


def test_a_ratio_of_one_is_white_and_both_ways_are_as_far():
    scale = Scale.of("ratio", [0.5, 4.0])
    assert scale.color(1.0) == DIVERGING[3]
    assert scale.color(4.0) == DIVERGING[-1]
    assert scale.color(0.25) == DIVERGING[0]
    assert (scale.place(2.0) - 0.5) == pytest.approx(0.5 - scale.place(0.5)) == pytest.approx(0.25)
    assert 1.0 in scale.ticks()


@pytest.mark.parametrize("highest", [1.0, 1.01, 3.0, 40.0, 5000.0])
def test_ticks_are_few_and_on_the_scale(highest: float):
    for kind in ("ratio", "amount"):
        scale = Scale.of(kind, [0.9, highest])
        assert len(scale.ticks()) <= 7
        assert all(scale.low - 1e-6 <= scale.place(tick) <= 1 for tick in scale.ticks() if tick > 0.9)
    assert Scale.of("ratio", []).ticks() == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("kind", ["ratio", "share", "amount"])
def test_text_stands_out_on_every_colour(kind: str):
    values = (
        [2 ** (step / 10) for step in range(-40, 41)]
        if kind != "share"
        else [0.8 + s / 200 for s in range(81)]
    )
    scale = Scale.of(kind, values)
    for value in values:
        fill = scale.color(value)
        light, dark = sorted((luminance(fill), luminance(ink(fill))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.2, level AA


def test_measured_and_predicted_look_different():
    measured, predicted, none = bars(drawn())
    assert (measured.marker.pattern.shape, predicted.marker.pattern.shape) == ("", "/")
    assert none.marker.color == ("rgba(0,0,0,0)",)
    assert [trace.name for trace in drawn().data if trace.type == "bar" and trace.customdata is None] == [
        "Measured: solid, bold", "Predicted: hatched, ≈", "No number: point at it for why",
    ]  # fmt: skip


def test_squares_lie_where_they_are_meant():
    measured, predicted, none = bars(drawn())
    for trace, column, row in ((measured, 0, 0), (predicted, 0, 1), (none, 1, 1)):
        assert trace.x == (column,)
        assert trace.base[0] + trace.y[0] / 2 == pytest.approx(row)
        assert list(trace.customdata[0]) == [column, row]
    frame = drawn().layout.shapes[-1]
    assert (frame.x0 + frame.x1) / 2 == pytest.approx(0)
    assert (frame.y0 + frame.y1) / 2 == pytest.approx(1)


def test_names_from_elsewhere_are_no_tags():
    hover = bars(drawn())[1].hovertext[0]
    assert "<a" not in hover
    assert "&lt;a href='http://a.b'&gt;" in hover
    assert max(map(len, hover.split("<br>"))) <= 80
    assert "<a" not in axis_name(EVIL, "1M")
    assert "<a" not in axis_name(EVIL, "1M", narrow=True)


def test_narrow_names_break_at_hyphens():
    assert axis_name("t5-v1_1-large", "783M") == "t5-v1_1-large<br>783M"
    assert axis_name("t5-v1_1-large", "783M", narrow=True) == "t5-v1_1-<br>large<br>783M"
    assert axis_name("x" * 12, "1M", narrow=True) == f"{'x' * 9}<br>xxx<br>1M"


def test_an_empty_map_can_be_drawn():
    figure = heat_map([Square(0, 0, "none", None, "", ("why",))], (["a"], ["b"]), "amount", {})
    assert figure.layout.coloraxis.colorbar.tickvals is None
