"""A block in a process of its own: its messages, its errors, and how it ends when somebody dies."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from hybrid.benchmark.block import BlockRequest, Measured, Probed, in_process
from hybrid.errors import EngineError, PromptTooLong, StoreError
from hybrid.schema import Event, Example, Generation, Notice, Plan, Probe, Record, Sampling, System, Timing

# What the process runs in the place of engines: a script over `request` and `tell` that yields messages.
STAND_IN = """
import os, signal, sys, time
from hybrid.benchmark.block import Measured, Probed, main
from hybrid.errors import *
from hybrid.schema import *

def record(request, number):
    example = request.examples[0]
    generation = Generation(
        system=request.plan.systems[0], text=example.source, token_ids=(1,), prompt_tokens=3,
        finish_reason="eos", timing=Timing({"decode": 0.1 + 1e-9}, (0.1,), True),
    )
    return Record(example_id=example.id, repeat=number, batch=0, position=number, started_at="",
                  generation=generation, statistics={}, block=request.block)

def measure(request, tell):
    print("what a library prints is no message")
    MEASURE

main(measure)
"""
HOSTILE = "Grüße\n\r\n\u2028\x85 \U0001f600 \\"
REQUEST = BlockRequest(
    plan=Plan("s", systems=(System("slm"),), blocks=4, sampling=Sampling(3)),
    examples=(Example("e", "d", HOSTILE, ("r",)),), block=2,
    done=frozenset({("e", 0, System("slm")), ("e", 1, System("slm"))}),
)  # fmt: skip


def measured(script: str, events: list[Event] | None = None) -> list[Any]:
    code = STAND_IN.replace("MEASURE", script.replace("\n", "\n    "))
    observer = events.append if events is not None else lambda _: None
    return list(in_process(REQUEST, observer, (sys.executable, "-c", code)))


def test_messages_come_as_they_were_sent() -> None:
    events: list[Event] = []
    script = (
        "tell(Notice(sentence=str(sorted(request.done))))\n"
        "yield Measured(records=(record(request, 0), record(request, 1)))\n"
        "yield Probed(probe=Probe(taken_at='now', load=0.5))"
    )
    generation = Generation(
        system=System("slm"),
        text=HOSTILE,
        token_ids=(1,),
        prompt_tokens=3,
        finish_reason="eos",
        timing=Timing({"decode": 0.1 + 1e-9}, (0.1,), True),
    )
    records = tuple(
        Record(
            example_id="e",
            repeat=number,
            batch=0,
            position=number,
            started_at="",
            generation=generation,
            statistics={},
            block=2,
        )
        for number in (0, 1)
    )
    messages = measured(script, events)
    assert messages == [Measured(records=records), Probed(probe=Probe(taken_at="now", load=0.5))]
    assert isinstance(messages[0].records[0].system, System)
    assert events == [Notice(sentence=str(sorted(REQUEST.done)))]


@pytest.mark.parametrize(
    ("script", "kind", "sentence"),
    [
        ("raise StoreError('It is full.')\nyield", StoreError, "It is full."),
        ("raise PromptTooLong(9, 3)\nyield", PromptTooLong, str(PromptTooLong(9, 3))),
        ("raise ValueError('a bug')\nyield", ValueError, "a bug"),
        ("raise KeyError('a bug')\nyield", RuntimeError, "KeyError: 'a bug'"),
        ("class Own(Exception): pass\nraise Own('a bug')\nyield", RuntimeError, "Own: a bug"),
        ("os.kill(os.getpid(), signal.SIGKILL)\nyield", EngineError, "block 3 of 4 ended with signal 9"),
        ("os.write(3, b'{\"kind\"')\nos._exit(3)\nyield", EngineError, "block 3 of 4 ended with code 3"),
        ("os._exit(3)\nyield", EngineError, "block 3 of 4 ended with code 3"),
    ],
)
def test_what_breaks_there_breaks_here_in_the_same_words(
    script: str, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        measured(script)
    assert type(caught.value) is kind
    assert sentence in str(caught.value)


def test_a_process_that_dies_before_it_has_read_anything_is_one_sentence() -> None:
    large = replace(REQUEST, examples=(Example("e", "d", "word " * 100_000, ("r",)),))
    with pytest.raises(EngineError, match="block 3 of 4 ended with code 4"):
        list(in_process(large, lambda _: None, (sys.executable, "-c", "import os; os._exit(4)")))


def test_nothing_is_measured_while_the_last_records_are_stored_and_leaving_ends_the_process(
    tmp_path: Path,
) -> None:
    telling = "tell(Notice(sentence=str(os.getpid())))\nyield Measured(records=(record(request, 0),))\n"
    script = f"{telling}open({str(tmp_path / 'went-on')!r}, 'w').close()\nyield"
    code = STAND_IN.replace("MEASURE", script.replace("\n", "\n    "))
    events: list[Any] = []
    stream = in_process(REQUEST, events.append, (sys.executable, "-c", code))
    next(stream)
    process = psutil.Process(int(events[0].sentence))
    time.sleep(0.1)  # in which it would have gone on
    assert not (tmp_path / "went-on").exists()
    stream.close()
    assert not process.is_running()


def test_a_process_whose_parent_was_killed_ends_by_itself(tmp_path: Path) -> None:
    script = "tell(Notice(sentence=str(os.getpid())))\nwhile True:\n    yield Measured(records=())"
    child = STAND_IN.replace("MEASURE", script.replace("\n", "\n    "))
    parent = f"""
import sys
from hybrid.benchmark.block import BlockRequest, in_process
from hybrid.schema import Plan
request = BlockRequest(plan=Plan("s"), examples=())
for _ in in_process(request, print, (sys.executable, "-c", {child!r})):
    sys.stdout.flush()
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        measuring = psutil.Process(int(process.stdout.readline().split("'")[1]))
        os.kill(process.pid, signal.SIGKILL)
    measuring.wait(30)  # it is no child of ours: gone is all that can be told
    assert not measuring.is_running() or measuring.status() == psutil.STATUS_ZOMBIE
