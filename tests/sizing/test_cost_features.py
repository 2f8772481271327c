"""How much work an answer is, counted by hand for a tiny model."""

from dataclasses import replace

import pytest

from hybrid.models.shapes import Shape
from hybrid.sizing.cost_features import (
    cross_features,
    encode_features,
    projector_features,
    step_features,
)


@pytest.fixture
def tiny(shapes) -> Shape:
    return shapes("tiny", 128, 256, 1, 3, vocabulary=512)  # its heads are half as wide as the model


def test_reading(tiny: Shape) -> None:
    weights = 3 * (128 * 192 + 64 * 128 + 3 * 128 * 256)
    rows = 3 * (128 + 64 + 2 * 128 + 256)
    assert encode_features(tiny, 2, 10) == {
        "fixed": 1, "layers": 3, "rows": rows, "weights": weights,
        "elements": 20 * rows, "pairs": 2 * 10 * 10 * 64 * 3,
    }  # fmt: skip


def test_a_step(tiny: Shape) -> None:
    layers = 3 * (128 * 192 + 64 * 128 + 128 * 64 + 64 * 128 + 3 * 128 * 256)
    assert step_features(tiny, 7.5) == {
        "fixed": 1, "layers": 3, "past": 22.5, "cache": 22.5 * 64,
        "rows": 3 * (128 + 64 + 128 + 64 + 2 * 128 + 256) + 128, "weights": layers + 128 * 512,
        "uncached": 0,
    }  # fmt: skip


def test_weights_that_no_cache_holds(shapes) -> None:
    many = step_features(shapes("large", 1024, 4096, 16, 4, vocabulary=4096), 1)
    assert many["uncached"] == many["weights"] - 2**22 > 0


def test_keys_and_values_of_the_prompt(tiny: Shape) -> None:
    assert cross_features(tiny, 2, 10) == {
        "fixed": 1, "layers": 3, "elements": 20 * 3 * 64, "weights": 3 * 128 * 128,
    }  # fmt: skip


def test_the_projector(tiny: Shape, shapes) -> None:
    wide = shapes("wide", 256, 512, 4, 2)
    rows, weights = 256 + 128, 256 * 128 + 128 * 128
    one_tokenizer = projector_features(replace(wide, vocabulary=tiny.vocabulary), tiny, 2, 10)
    assert one_tokenizer == {"layers": 2 / 5, "rows": rows, "weights": weights, "elements": 20 * rows}
    rows, weights = rows + 256, weights + 256 * 128  # the bridge
    two = projector_features(wide, tiny, 2, 10)
    assert two == {"layers": 3 / 5, "rows": rows, "weights": weights, "elements": 20 * rows}
