"""GenerationState as they grow, and whose turn it is."""

import pytest

from hybrid.engines.generation import GenerationGuard, GenerationState
from hybrid.errors import EngineError
from hybrid.schema import Step


def test_answers_end_at_the_stop_one_by_one():
    answers = GenerationState(3, stop=1)
    assert answers.extend([[5], [1], [7, 8]]) == ((5,), (1,), (7, 8))
    assert answers.extend([[6], [0], [9, 1, 4]]) == ((6,), (), (9, 1))
    assert answers.extend([[3], [0], [0]]) == ((3,), (), ())
    assert answers.ids == [[5, 6, 3], [1], [7, 8, 9, 1]]


def test_answers_without_a_stop_take_every_id():
    answers = GenerationState(2, stop=None)
    assert answers.extend([[1], [2]]) == ((1,), (2,))
    assert answers.extend([[3], []]) == ((3,), ())
    assert answers.ids == [[1, 3], [2]]


def test_steps_are_followed_as_they_come():
    steps = [Step("project"), Step("prefill", ((5,), (1,))), Step("decode", ((1,), ()))]
    assert list(GenerationGuard().follow(iter(steps))) == steps


def test_a_second_generation_ends_the_first():
    guard, computed = GenerationGuard(), []

    def steps(name: str):
        for _ in range(3):
            computed.append(name)
            yield Step("decode")

    first = guard.follow(steps("first"))
    next(first)
    second = guard.follow(steps("second"))
    next(second)
    with pytest.raises(EngineError, match="a second one has ended this one"):
        next(first)
    assert len(list(second)) == 2
    assert computed == ["first", "second", "second", "second"]
