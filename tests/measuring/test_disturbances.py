"""An answer during which the process stood still is marked, and no other one is."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from hybrid.schema import Step
from tests.measuring.fakes import FakeClock, measure


@pytest.mark.parametrize(
    ("gaps_s", "cpu_s", "disturbed"),
    [
        ((2.0, 0.1, 0.1, 0.1), (1.9, 0.1, 0.1, 0.1), False),  # a long prompt
        ((5.0, 0.1, 0.1, 0.1), (1.9, 0.1, 0.1, 0.1), True),  # stopped while it was read
        ((2.0, 0.1, 0.1, 3.0), (2.0, 0.1, 0.1, 0.1), True),  # stopped between tokens
        ((4.0, 0.3, 0.3, 0.3), (2.1, 0.1, 0.1, 0.1), False),  # a busy machine gives it half of a core
        ((0.4, 0.3, 0.9, 0.3), (0.0, 0.0, 0.0, 0.0), False),  # less than a second at a time
    ],
)
def test_an_answer_in_which_the_process_stood_still_is_marked(gaps_s, cpu_s, disturbed):
    wall, cpu = FakeClock(), FakeClock()

    def steps() -> Iterator[Step]:
        for phase, gap_s, used_s in zip(
            ("prefill", "decode", "decode", "decode"), gaps_s, cpu_s, strict=True
        ):
            wall.sleep(gap_s)
            cpu.sleep(used_s)
            yield Step(phase, ((7,), (8,)))

    answers = measure(steps, wall, texts=("one", "two"), cpu_clock=cpu)
    assert [answer.timing.disturbed for answer in answers] == [disturbed] * 2


@pytest.mark.parametrize(("pause_s", "disturbed"), [(70.0, True), (0.5, False)])
def test_of_a_device_that_works_by_itself_a_gap_between_tokens_tells(pause_s, disturbed):
    wall = FakeClock()

    def steps() -> Iterator[Step]:
        for gap_s in (3.0, 0.02, 0.02, pause_s, 0.02):
            wall.sleep(gap_s)
            yield Step("decode", ((7,),))

    (answer,) = measure(steps, wall, cpu_clock=FakeClock(), synchronize=lambda: None)
    assert answer.timing.disturbed is disturbed


def test_a_process_that_is_stopped_knows_afterwards():
    """SIGSTOP for 1.3 s, inside one step."""
    script = """
import os, signal, subprocess, sys, time
from tests.measuring.fakes import measure
from hybrid.schema import Step

def steps():
    yield Step("prefill", ((7,),))
    resume = f"sleep 1.3; kill -CONT {os.getpid()}"
    subprocess.Popen(["sh", "-c", resume], start_new_session=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    yield Step("decode", ((8,),))

print(measure(steps)[0].timing.disturbed, measure([Step("decode", ((7,),))])[0].timing.disturbed)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "True False\n", done.stderr
