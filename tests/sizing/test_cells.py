"""Which cells a grid has."""

from collections.abc import Callable

from hybrid.schema import METHODS, Grid
from hybrid.schema.grids import Participant, Size, participants, planned, sizes


def test_what_a_model_does_alone_is_one_participant(grid: Callable[..., Grid]) -> None:
    assert participants(grid(), "large") == (
        Participant("llm", "large", None),
        Participant("slm", None, "small"),
        Participant("hybrid", "large", "small"),
        Participant("slm", None, "tiny"),
        Participant("hybrid", "large", "tiny"),
    )


def test_models_of_lossless_methods(grid: Callable[..., Grid]) -> None:
    turns = participants(grid(methods=tuple(METHODS), slms=("tiny",)), "large")
    assert turns[3:] == (
        Participant("lossless", "large", "tiny"),
        Participant("lossless-slm", "large", "tiny"),
        Participant("lossless-lookup", "large", None),
    )


def test_longest_answers_come_first(grid: Callable[..., Grid]) -> None:
    ordered = sizes(grid(batches=(1, 8), prompts=(8, 32), outputs=(4, 16)))
    assert ordered[:4] == (Size(1, 8, 16), Size(1, 8, 4), Size(1, 32, 16), Size(1, 32, 4))
    assert len(ordered) == 8


def test_every_cell_is_planned_once(grid: Callable[..., Grid]) -> None:
    keys = planned(grid(llms=("large", "larger"), outputs=(4, 16)))
    # per size: two LLMs, two SLMs, four hybrids
    assert len(keys) == len(set(keys)) == 2 * 8
    assert [key[:3] for key in keys if key[0] == "slm"] == [("slm", None, "small"), ("slm", None, "tiny")] * 2


def test_lossless_methods_answer_one_prompt(grid: Callable[..., Grid]) -> None:
    keys = planned(grid(methods=("llm", "lossless"), batches=(1, 8), slms=("tiny",)))
    assert [(key[0], key[3]) for key in keys] == [("llm", 1), ("lossless", 1), ("llm", 8)]
