"""What a thread hands over arrives at once, its errors arrive, and nobody's work is left running."""

import gc
import threading

import pytest

from hybrid.engines.handover import Worker


def test_each_item_arrives_while_the_work_goes_on():
    read = threading.Semaphore(0)

    def work(tell):
        for item in range(5):
            tell(item)
            assert read.acquire(timeout=30), "the item before was not read"

    got = []
    for item in Worker().stream(work):
        got.append(item)
        read.release()
    assert got == [0, 1, 2, 3, 4]


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
    told, closing = [], threading.Event()

    def work(tell):
        told.append(tell(1))
        closing.wait(timeout=30)
        while not tell(2):
            pass
        told.append("ended")

    stream = Worker().stream(work)
    assert next(stream) == 1
    closing.set()
    stream.close()
    assert told == [False, "ended"]


def test_what_is_asked_meanwhile_waits_and_all_of_it_runs_in_one_thread():
    threads = []

    def work(tell):
        threads.append(threading.current_thread())
        for item in range(3):
            tell(item)

    worker = Worker()
    one, other = worker.stream(work), worker.stream(work)
    assert [next(one), *other, *one] == [0, 0, 1, 2, 1, 2]
    assert threads[0] is threads[1]
    assert threads[0] is not threading.current_thread()


def test_the_thread_ends_with_its_worker():
    worker = Worker()
    (thread,) = worker.stream(lambda tell: tell(threading.current_thread()))
    del worker
    gc.collect()
    thread.join(timeout=30)
    assert not thread.is_alive()
