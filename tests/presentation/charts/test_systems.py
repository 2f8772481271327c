"""One colour a system, everywhere."""

import pytest

from hybrid.presentation.charts import SYSTEM_COLORS, SYSTEM_NAMES, color_of, name_of
from hybrid.schema import METHODS


def test_every_method_has_a_name_and_a_colour_of_its_own():
    assert set(SYSTEM_COLORS) == set(SYSTEM_NAMES) == set(METHODS)
    assert len(set(SYSTEM_COLORS.values())) == len(METHODS)


@pytest.mark.parametrize("engine", ["", "@torch", "@ctranslate2"])
def test_the_engine_changes_the_name_and_never_the_colour(engine: str):
    assert color_of(f"hybrid{engine}") == SYSTEM_COLORS["hybrid"]
    assert name_of(f"hybrid{engine}") == "Hybrid" + (f", {engine[1:]}" if engine else "")


def test_a_system_of_a_later_version_is_gray_and_keeps_its_name():
    assert color_of("cascade") not in SYSTEM_COLORS.values()
    assert name_of("cascade@new") == "cascade, new"
