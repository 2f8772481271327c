"""Answers as they grow, and whose turn it is."""

import pytest

from hybrid.engines.generation import Answers, Serving
from hybrid.errors import EngineError
from hybrid.schema import Step


def test_answers_end_at_the_stop_one_by_one():
    answers = Answers(3, stop=1)
    assert answers.extend([[5], [1], [7, 8]]) == ((5,), (1,), (7, 8))
    assert answers.extend([[6], [0], [9, 1, 4]]) == ((6,), (), (9, 1))
    assert answers.extend([[3], [0], [0]]) == ((3,), (), ())
    assert answers.ids == [[5, 6, 3], [1], [7, 8, 9, 1]]
    assert answers.finish_reasons == ("length", "eos", "eos")


def test_answers_without_a_stop_take_every_id():
    answers = Answers(2, stop=None)
    assert answers.extend([[1], [2]]) == ((1,), (2,))
    assert answers.extend([[3], []]) == ((3,), ())
    assert answers.ids == [[1, 3], [2]]
    assert answers.finish_reasons == ("length", "length")


def test_steps_are_followed_as_they_come_and_checked_before_each():
    asked = []
    answers = Answers(2, stop=1)
    steps = [Step("project"), Step("prefill", ((5,), (1,))), Step("decode", ((1,), ()))]
    assert list(answers.follow(iter(steps), lambda: asked.append(len(answers.ids[0])))) == steps
    assert asked == [0, 0, 1, 2]
    assert answers.ids == [[5, 1], [1]]


def test_a_second_generation_ends_the_first():
    serving = Serving()
    first = serving.begin()
    first()
    second = serving.begin()
    second()
    with pytest.raises(EngineError, match="a second one has ended this one"):
        first()
