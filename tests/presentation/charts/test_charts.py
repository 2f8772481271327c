"""One colour a system, everywhere."""

import pytest

from hybrid.presentation.charts import SYSTEM_COLORS, color_of
from hybrid.schema import METHODS, System


def test_every_method_has_a_name_and_a_colour_of_its_own():
    assert set(SYSTEM_COLORS) == set(METHODS)
    assert len(set(SYSTEM_COLORS.values())) == len(METHODS)


@pytest.mark.parametrize("engine", [None, "torch", "ctranslate2"])
def test_the_engine_changes_the_name_and_never_the_colour(engine: str | None):
    system = System("hybrid", engine)
    assert color_of(system) == SYSTEM_COLORS["hybrid"]
    assert system.label == "Hybrid" + (f", {engine}" if engine else "")
