"""Made-up grids of latencies and their cells."""

from typing import Any

from hybrid.schema import CPU, Cell, Grid
from tests.environments import made_environment

HERE = made_environment()
ID = "20261123-014512-torch-3f9c"


def grid(grid_id: str = ID, **more: Any) -> Grid:
    own: dict = {
        "llms": ("large",), "slms": ("small", "tiny"), "methods": ("llm", "slm", "hybrid"), "batches": (1,),
        "prompts": (32,), "outputs": (16,), "repeats": 3, "engine": "torch", "device": CPU,
        "dtype": "float32", "threads": 1, "environment": HERE, "created_at": "2026-11-23T01:45:12+00:00",
        "shapes": {"large": {"d_model": 64, "family": "t5", "tied_head": False, "positions": None}},
    }  # fmt: skip
    return Grid(grid_id=grid_id, **own | more)


def cell(method: str = "hybrid", slm: str | None = "small", **more: Any) -> Cell:
    own: dict = {
        "batch": 1, "prompt_tokens": 32, "output_tokens": 16, "started_at": "2026-11-23T01:45:13.000+00:00",
        "phases_s": {"encode": (0.5, 0.25, 0.75), "decode": (1.0, 2.0, 4.0)},
        "ttft_s": (0.5, 0.25, 0.75), "tpot_s": (0.0625, 0.125, 0.25),
    }  # fmt: skip
    return Cell(method=method, llm="large", slm=slm, **own | more)
