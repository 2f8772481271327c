"""Answers as they grow, whose turn it is, and a thread that hands over at once and leaves no work running."""

import gc
import threading

import pytest

from hybrid.engines.generation import GenerationGuard, GenerationState, Worker
from hybrid.errors import EngineError
from hybrid.schema import Step


def test_answers_end_at_the_stop_one_by_one():
    answers = GenerationState(3, stop=(1,))
    assert answers.extend([[5], [1], [7, 8]]) == ((5,), (1,), (7, 8))
    assert answers.extend([[6], [0], [9, 1, 4]]) == ((6,), (), (9, 1))
    assert answers.extend([[3], [0], [0]]) == ((3,), (), ())
    assert answers.ids == [[5, 6, 3], [1], [7, 8, 9, 1]]


def test_answers_without_a_stop_take_every_id():
    answers = GenerationState(2, stop=())
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


def test_each_item_arrives_while_the_work_goes_on():
    read = threading.Semaphore(0)

    def work(tell):
        for item in range(5):
            tell(item)
            assert read.acquire(timeout=30), "the item before was not read"

    items = []
    for item in Worker().stream(work):
        items.append(item)
        read.release()
    assert items == [0, 1, 2, 3, 4]


def test_an_error_comes_after_what_was_handed_over():
    def work(tell):
        tell("first")
        raise ValueError("broken")

    worker = Worker()
    stream = worker.stream(work)
    assert next(stream) == "first"
    with pytest.raises(ValueError, match="broken"):
        next(stream)
    assert list(worker.stream(lambda tell: tell("again"))) == ["again"]


def test_closing_ends_the_work_and_waits_for_it():
    events, closing = [], threading.Event()

    def work(tell):
        events.append(tell(1))
        closing.wait(timeout=30)
        while not tell(2):
            pass
        events.append("ended")

    stream = Worker().stream(work)
    assert next(stream) == 1
    closing.set()
    stream.close()
    assert events == [False, "ended"]


def test_what_is_asked_meanwhile_waits_and_all_of_it_runs_in_one_thread():
    threads = []

    def work(tell):
        threads.append(threading.current_thread())
        for item in range(3):
            tell(item)

    worker = Worker()
    first, second = worker.stream(work), worker.stream(work)
    assert [next(first), *second, *first] == [0, 0, 1, 2, 1, 2]
    assert threads[0] is threads[1]
    assert threads[0] is not threading.current_thread()


def test_the_thread_ends_with_its_worker():
    worker = Worker()
    (thread,) = worker.stream(lambda tell: tell(threading.current_thread()))
    del worker
    gc.collect()
    thread.join(timeout=30)
    assert not thread.is_alive()
