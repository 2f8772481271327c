"""What a replay shows when."""

from collections.abc import Sequence
from itertools import pairwise

import pytest

from hybrid.live import frames, paced, whole
from tests.live.made import letters, made


def decode(_, ids):
    return letters(ids)


def test_replay_shows_each_token_when_it_was_known():
    times = [0.1, 0.15, 0.2, 0.4]
    replay = list(frames({"llm": made("llm", times)}, decode, slowdown=10, per_second=100))
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
    answers = {"llm": made("llm", [0.5]), "slm": made("slm", [0.1])}
    replay = list(frames(answers, decode))
    assert set(replay[0].shown) == {"llm", "slm"}
    assert set(replay[-1].shown) == {"llm"}
    assert sum(f.shown["slm"].finished for f in replay if "slm" in f.shown) == 1


def test_an_unfinished_character_is_not_shown():
    def half(_: str, ids: Sequence[int]) -> str:
        return "ü" if len(ids) == 2 else "\ufffd" * len(ids)

    texts = [f.shown["llm"].text for f in frames({"llm": made("llm", [0.1, 0.3])}, half, per_second=50)]
    assert set(texts[:-1]) == {"", "ü"}


def test_paced_waits_for_each_frame_and_never_for_a_late_one():
    now, slept = [10.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    replay = frames({"llm": made("llm", [0.1])}, decode)
    for index, _ in enumerate(paced(replay, lambda: now[0], sleep)):
        if index == 1:
            now[0] += 0.07  # a slow browser
    assert slept[:2] == pytest.approx([0, 0.4])
    assert slept[2] == 0
    assert sum(slept) < 0.4 + 0.16


def test_whole_is_the_end_of_a_replay():
    answers = {"llm": made("llm", [0.1, 0.2])}
    assert whole(answers).shown == list(frames(answers, decode))[-1].shown
