"""What models need of memory, before they are built."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from hybrid.errors import EngineError
from hybrid.models.shapes import Shape
from hybrid.schema import CPU, Grid
from hybrid.sizing import check_lengths, check_memory, free_bytes, needed_bytes
from hybrid.sizing import memory as room


def test_both_numbers_are_said(grid: Callable[..., Grid]) -> None:
    small_grid = grid()
    needed = needed_bytes(small_grid, "large")
    check_memory(small_grid, needed)
    check_memory(small_grid, None)
    sentence = r"large with small, tiny needs about 0\.0 GB of memory and 0\.0 GB are free on cpu"
    with pytest.raises(EngineError, match=sentence):
        check_memory(small_grid, needed - 1)


def test_the_largest_llm_decides(grid: Callable[..., Grid]) -> None:
    large_grid = grid(llms=("large", "larger"))
    assert needed_bytes(large_grid, "larger") > needed_bytes(large_grid, "large")
    with pytest.raises(EngineError, match="larger with"):
        check_memory(large_grid, needed_bytes(large_grid, "large"))


@pytest.mark.parametrize(
    ("dtype", "built", "packed"), [("float32", 4, 4), ("bfloat16", 2, 2), ("int8", 4, 1)]
)
def test_weights_count_as_built_and_as_packed(
    grid: Callable[..., Grid], grid_shapes: Mapping[str, Shape], dtype: str, built: int, packed: int
) -> None:
    large, small = grid_shapes["large"], grid_shapes["small"]
    projector = (64 + 1) * 32 + (32 + 1) * 32

    def weights(*methods: str) -> int:
        return room.weight_bytes(grid(methods=methods, slms=("small",), dtype=dtype), "large")

    assert weights("llm") == large.parameters * (built + packed)
    assert weights("llm", "slm") - weights("llm") == small.parameters * (built + packed)
    own = projector + small.parameters
    # The LLM's encoder is built once, and packed by both engines.
    beside = weights("llm", "hybrid") - weights("llm")
    assert beside == own * (built + packed) + large.encoder_parameters * packed
    assert weights("hybrid") == (own + large.encoder_parameters) * (built + packed)
    assert weights("llm", "lossless") - weights("llm") == beside + large.parameters * packed


def test_only_the_layers_that_are_read_count(
    grid: Callable[..., Grid], grid_shapes: Mapping[str, Shape]
) -> None:
    large = grid_shapes["large"]

    def weights(read: tuple[int, ...]) -> int:
        shapes = {name: asdict(shape) for name, shape in grid_shapes.items()}
        shapes["large"] = asdict(dataclasses.replace(large, read_layers=read))
        hybrid = grid(methods=("hybrid",), slms=("small",))
        return room.weight_bytes(dataclasses.replace(hybrid, shapes=shapes), "large")

    part = dataclasses.replace(large, encoder_layers=1)
    fewer = large.encoder_parameters - part.encoder_parameters + large.d_model
    assert weights(()) - weights((1,)) == fewer * (4 + 4)
    assert weights((1, 2)) - weights(()) == (64 * 32 - large.d_model) * (4 + 4)


def test_longer_prompts_and_larger_batches_need_more(grid: Callable[..., Grid]) -> None:
    needed = [
        needed_bytes(grid(batches=(batch,), prompts=(prompt,), outputs=(output,)), "large")
        for batch, prompt, output in ((1, 8, 4), (1, 16, 4), (1, 16, 8), (2, 16, 8))
    ]
    assert needed == sorted(set(needed))
    assert needed[0] > room.weight_bytes(grid(), "large")


def test_free_memory_of_this_machine() -> None:
    free = free_bytes(CPU)
    assert free is None or 2**20 < free < 2**50


def test_what_a_container_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CGROUP", tmp_path)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000 * 1024))
    assert free_bytes(CPU) == 5000 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("400\n")
    (tmp_path / "memory.stat").write_text("anon 300\ninactive_file 100\n")
    assert free_bytes(CPU) == 5000 * 1024
    (tmp_path / "memory.max").write_text("1000\n")
    assert free_bytes(CPU) == 1000 - 400 + 100


@pytest.mark.parametrize(
    ("lengths", "what"), [({"prompts": (8, 41)}, "prompt"), ({"outputs": (41,)}, "output")]
)
def test_positions_are_minded(grid: Callable[..., Grid], lengths: dict, what: str) -> None:
    with pytest.raises(EngineError, match=f"bart has positions for 40 tokens and --{what} asks for 41"):
        check_lengths(grid(slms=("bart",), **lengths))
    check_lengths(grid(slms=("bart",), prompts=(40,), outputs=(40,)))
    check_lengths(grid(prompts=(4000,), outputs=(4000,)))
