"""Whose turn it is: in the order of coming, and never two at once."""

import threading
import time

import pytest

from hybrid.live import Turns


def test_they_come_in_order_and_a_greedy_one_waits_like_all():
    turns, order = Turns(), []
    others_wait = threading.Event()

    def asks_three_times() -> None:
        for n in range(3):
            with turns.mine():
                if n == 0:
                    others_wait.wait(5)
                order.append(f"batch {n}")

    def asks_once(name: str) -> None:
        with turns.mine(lambda _: None):
            order.append(name)

    threads = [threading.Thread(target=asks_three_times)]
    threads += [threading.Thread(target=asks_once, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    others_wait.set()
    for thread in threads:
        thread.join(5)
    assert order == ["batch 0", "first", "second", "batch 1", "batch 2"]
    assert not turns.taken


def test_who_gives_up_leaves_the_queue():
    turns = Turns()

    def give_up(before: int) -> None:
        assert before == 1
        raise KeyboardInterrupt

    with turns.mine():
        with pytest.raises(KeyboardInterrupt), turns.mine(give_up):
            pytest.fail("it was not its turn")
        assert turns.taken
    with turns.mine(lambda _: pytest.fail("nobody is before")):
        pass


def test_a_failure_ends_the_turn():
    turns = Turns()
    with pytest.raises(ZeroDivisionError), turns.mine():
        raise ZeroDivisionError
    assert not turns.taken
