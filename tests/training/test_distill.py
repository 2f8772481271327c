import dataclasses
from pathlib import Path

import numpy as np
import torch

from hybrid.training.distill import distilled
from hybrid.training.models import trained
from hybrid.training.recipe import Recipe, prepared
from hybrid.training.train import train

CPU = torch.device("cpu")


def _rows(path: Path, side: str) -> list[list[int]]:
    with np.load(path) as arrays:
        ends = np.cumsum(arrays[f"{side}_lengths"], dtype=np.int64)
        return [row.tolist() for row in np.split(arrays[side], ends[:-1])]


def test_the_answers_are_the_llms_own_greedy_ones(finished) -> None:
    recipe, _ = finished
    path = distilled(recipe, "first", CPU)
    sources, answers = _rows(path, "source"), _rows(path, "target")
    assert sources == _rows(prepared(recipe), "source")
    assert answers != _rows(prepared(recipe), "target")
    llm = trained(recipe, "first")
    for source, answer in list(zip(sources, answers, strict=True))[:12]:
        made = llm.generate(torch.tensor([source]), max_new_tokens=32, do_sample=False, num_beams=1)
        assert answer[-1] == 1
        assert answer[:-1] == [i for i in made[0, 1:].tolist() if i != 1][: len(answer) - 1]


def test_the_answers_are_written_once(finished) -> None:
    recipe, _ = finished
    written = distilled(recipe, "first", CPU).stat().st_mtime_ns
    assert distilled(recipe, "first", CPU).stat().st_mtime_ns == written


def test_a_stage_trains_on_them(finished) -> None:
    recipe: Recipe = finished[0]
    stage = dataclasses.replace(recipe.stage("second"), name="student", steps=5, answers_of="first")
    longer = dataclasses.replace(recipe, stages=(*recipe.stages, stage))
    kinds = [event.kind for event in train(longer, ["student"])]
    assert kinds[0] == "start"
    assert "done" in kinds
