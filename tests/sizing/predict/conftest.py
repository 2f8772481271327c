"""What the tests of predictions share: two small shapes, and a profile whose costs are round numbers."""

from collections.abc import Callable

import pytest

from hybrid.models.shapes import Shape
from hybrid.sizing import Pair, Profile
from tests.sizing.predict.made_up import made_up_profile, shape


@pytest.fixture(scope="session")
def pair() -> Pair:
    return Pair(shape("large", 512, 1024, 8, 12), shape("small", 128, 256, 2, 2))


@pytest.fixture(scope="session")
def shapes() -> Callable[..., Shape]:
    """shapes(name, width, inner, heads, layers, vocabulary=1000): a T5 of these sizes."""
    return shape


@pytest.fixture(scope="session")
def made_up() -> Callable[..., Profile]:
    """made_up(**changes): a profile of a machine that is not there, with costs that tests can follow."""
    return made_up_profile
