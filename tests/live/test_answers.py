"""The measuring order and the machine's lock, without a model."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import FileLock

from hybrid.engines.contract import LoadedSystem
from hybrid.errors import BusyError
from hybrid.live import Answers, Request, frames, measure_all, paced, whole
from hybrid.measuring.answers import WARM_UP_TOKENS
from hybrid.measuring.lock import LOCK, NOTE, holder, measuring
from hybrid.schema import SYSTEMS, EncodedPrompt, Sampling, Step, System
from tests.live.made import generation, letters


@pytest.fixture(autouse=True)
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the lock on this machine's measurements lies: not where a real measurement holds it."""
    monkeypatch.setenv("HYBRID_RUNTIME", str(tmp_path))
    return tmp_path


class Recorder:
    """An engine that notes what it was asked, and its codec."""

    synchronize: Callable[[], None] | None = None
    eos_ids = (7,)

    def __init__(self, system: System, log: list[tuple[System, int]]) -> None:
        self.system, self.method = system, system
        self.log = log
        self.text = ""

    def encode(self, task: str, texts: Sequence[str], truncate: bool = False) -> tuple[EncodedPrompt, ...]:
        (text,) = texts
        self.text = f"{task}: {text}"
        return (EncodedPrompt((3,) * 5),)

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        self.log.append((self.system, sampling.max_new_tokens))
        yield Step("prefill", ((7,),))

    def decode(self, ids: Sequence[int]) -> str:
        return self.text


def measure(engines: Mapping[str, Recorder], request: Request) -> Answers:
    """measure_all() of these."""
    loaded = {
        System.parse(name): LoadedSystem(system=System.parse(name), engine=engine, codec=engine)
        for name, engine in engines.items()
    }
    return measure_all(loaded, request)


def test_all_are_warmed_up_before_the_first_is_measured():
    log: list[tuple[System, int]] = []
    answers = measure({s: Recorder(s, log) for s in SYSTEMS}, Request("summarize", "abc", Sampling(100)))
    assert [(s, a.text) for s, a in answers.items()] == [(s, "summarize: abc") for s in SYSTEMS]
    assert [system for system, _ in log] == [*SYSTEMS, *SYSTEMS]


def test_warm_up_has_room_for_as_many_tokens_as_are_measured_but_writes_few():
    """Else the measured prefill pays for the memory of all: 20 ms in place of 3 with the bundled LLM."""
    log: list[tuple[System, int]] = []
    written: list[int] = []

    class Endless(Recorder):
        def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
            self.log.append((self.system, sampling.max_new_tokens))
            written.append(0)
            for _ in range(sampling.max_new_tokens):
                written[-1] += 1
                yield Step("decode", ((1,),))

    measure({"llm": Endless("llm", log)}, Request("summarize", "abc", Sampling(100)))
    assert log == [("llm", 100), ("llm", 100)]
    assert written == [WARM_UP_TOKENS, 100]


def test_the_machine_is_held_while_models_run_and_the_prompt_stays_secret(locks):
    held: list[str] = []

    class Watching(Recorder):
        def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
            held.append(str(holder()))
            yield from super().generate(prompts, sampling)

    measure({s: Watching(s, []) for s in SYSTEMS}, Request("summarize", "my secret", Sampling(2)))
    assert len(held) == 6
    assert all(
        who.startswith(f"process {os.getpid()}, run live of one prompt in the browser") for who in held
    )
    with measuring("a-1", "suite"):
        pass  # it is free again


def test_beside_a_benchmark_nothing_runs(locks):
    log: list[tuple[System, int]] = []
    with measuring("a-1", "everyday-en-de"):
        note = json.loads((locks / NOTE).read_text("utf-8")) | {"since": "2026-11-23T01:45:12+00:00"}
        (locks / NOTE).write_text(json.dumps(note), "utf-8")
        with pytest.raises(BusyError) as caught:
            measure({"llm": Recorder("llm", log)}, Request("summarize", "abc", Sampling(2)))
    assert str(caught.value) == (
        "Another measurement has been running on this machine since 2026-11-23 01:45 UTC "
        "(run a-1 of everyday-en-de); please try again when it has ended, "
        "as two at a time slow each other down."
    )
    assert log == []


def test_a_holder_that_is_not_known_is_not_named(locks):
    with FileLock(locks / LOCK), pytest.raises(BusyError) as caught:
        measure({"llm": Recorder("llm", [])}, Request("summarize", "abc", Sampling(2)))
    assert str(caught.value).startswith("Another measurement is running on this machine; please try again")


def test_the_machine_is_free_again_after_a_failure():
    class Failing(Recorder):
        def generate(self, *_: object) -> Iterator[Step]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure({"llm": Failing("llm", [])}, Request("summarize", "abc", Sampling(2)))
    with measuring("a-1", "suite"):
        pass


def test_an_answer_bears_the_name_under_which_it_was_asked():
    engines = {"llm": Recorder("llm", []), "llm@torch": Recorder("llm", [])}
    answers = measure(engines, Request("summarize", "abc", Sampling(2)))
    assert [(name, answer.system) for name, answer in answers.items()] == [
        ("llm", "llm"),
        ("llm@torch", "llm@torch"),
    ]


def test_a_device_is_waited_for_at_every_step():
    waited: list[str] = []

    class OnDevice(Recorder):
        def synchronize(self) -> None:
            waited.append("here")

    measure({"llm": OnDevice("llm", [])}, Request("summarize", "abc", Sampling(2)))
    assert len(waited) == 4  # before the start and after each of three phases


def decode(_, ids):
    return letters(ids)


def test_replay_shows_each_token_when_it_was_known():
    times = [0.1, 0.15, 0.2, 0.4]
    replay = list(frames({"llm": generation("llm", times)}, decode, slowdown=10, per_second=100))
    assert replay[0].shown["llm"].text == ""
    for frame in replay[:-1]:
        shown = frame.shown["llm"]
        assert shown.text == letters(range(1, 1 + sum(t <= shown.elapsed_s for t in times)))
        assert not shown.finished
    assert replay[-1].shown["llm"].text == "abcd"
    assert replay[-1].shown["llm"].elapsed_s == pytest.approx(0.41)
    assert replay[-1].at_s - replay[1].at_s == pytest.approx(4.1, abs=0.02)  # ten times as long as measured
    assert all(a.at_s < b.at_s for a, b in pairwise(replay))


def test_a_finished_system_leaves_the_replay():
    answers = {"llm": generation("llm", [0.5]), "slm": generation("slm", [0.1])}
    replay = list(frames(answers, decode))
    assert set(replay[0].shown) == {"llm", "slm"}
    assert set(replay[-1].shown) == {"llm"}
    assert sum(f.shown["slm"].finished for f in replay if "slm" in f.shown) == 1


def test_an_unfinished_character_is_not_shown():
    def half(_: str, ids: Sequence[int]) -> str:
        return "ü" if len(ids) == 2 else "\ufffd" * len(ids)

    texts = [f.shown["llm"].text for f in frames({"llm": generation("llm", [0.1, 0.3])}, half, per_second=50)]
    assert set(texts[:-1]) == {"", "ü"}


def test_paced_waits_for_each_frame_and_never_for_a_late_one():
    now, slept = [10.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    replay = frames({"llm": generation("llm", [0.1])}, decode)
    for index, _ in enumerate(paced(replay, lambda: now[0], sleep)):
        if index == 1:
            now[0] += 0.07  # a slow browser
    assert slept[:2] == pytest.approx([0, 0.4])
    assert slept[2] == 0
    assert sum(slept) < 0.4 + 0.16


def test_whole_is_the_end_of_a_replay():
    answers = {"llm": generation("llm", [0.1, 0.2])}
    assert whole(answers).shown == list(frames(answers, decode))[-1].shown
