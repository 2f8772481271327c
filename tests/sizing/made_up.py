"""A machine that is not there: a profile whose costs are round numbers, grids that nobody measured."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from hybrid.measuring.device import Machine
from hybrid.models.shapes import Shape, shape_of_config
from hybrid.schema import CPU, Cell, Grid
from hybrid.sizing import Costs, Pair, Profile, Request, predicted
from tests.environments import made_environment

US = 1e-6
STARTED = "2026-11-23T01:00:00.000+00:00"


def shape(name: str, width: int, inner: int, heads: int, layers: int, vocabulary: int = 1000) -> Shape:
    config = {
        "model_type": "t5", "d_model": width, "d_ff": inner, "num_heads": heads, "d_kv": 64,
        "num_layers": layers, "vocab_size": vocabulary, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }  # fmt: skip
    return shape_of_config(name, config, "made up")


def made_up_profile(**changes: Any) -> Profile:
    environment = made_environment(code="")
    reading = {"fixed": 100 * US, "layers": 10 * US, "weights": 1e-9}
    profile = Profile(
        name="made-up", engine="torch", device=CPU, dtype="float32", threads=1,
        machine=Machine(CPU, "float32", 1, 4e10, ((1e6, 4e10),), ((1.0, 1e10), (512.0, 7e10))),
        environment=environment, created_at="2026-11-23T00:00:00+00:00",
        encode=tuple(
            Costs(batch, tokens, reading | {"weights": batch * tokens * 1e-10})
            for batch in (1, 8)
            for tokens in (32, 512)
        ),
        prefill=(
            Costs(1, 32, {"fixed": 5 * US, "weights": 1e-9}),
            Costs(1, 512, {"fixed": 50 * US, "weights": 16e-9}),
        ),
        step=(
            Costs(1, 0, {"fixed": 20 * US, "layers": 5 * US, "weights": 2e-10, "past": 1e-8}),
            Costs(8, 0, {"fixed": 40 * US, "layers": 8 * US, "weights": 6e-10, "past": 2e-8}),
        ),
        tokenize=(10 * US, 2 * US, 1 * US), detokenize=(5 * US, 1 * US, 0.5 * US),
        fit_error=0.05, shapes=10, took_s=21.0,
    )  # fmt: skip
    return replace(profile, **changes)


def grid_of(pair: Pair, profile: Profile, **changes) -> Grid:
    grid = Grid(
        grid_id="20261123-010000-torch-0000", llms=(pair.llm.name,), slms=(pair.slm.name,),
        methods=("llm", "slm", "hybrid"), batches=(1, 8), prompts=(32, 64), outputs=(16,), repeats=3,
        engine=profile.engine, device=profile.device, dtype=profile.dtype, threads=profile.threads,
        environment=profile.environment, created_at=STARTED,
        shapes={s.name: asdict(s) for s in (pair.llm, pair.slm)},
    )  # fmt: skip
    return replace(grid, **changes)


def cells_of(pair: Pair, profile: Profile, factors: Mapping[tuple[str, int], float]) -> tuple[Cell, ...]:
    """Cells that took `factors` times what is predicted, by method and batch; 1 where it names none."""
    names = {
        "llm": (pair.llm.name, None),
        "slm": (None, pair.slm.name),
        "hybrid": (pair.llm.name, pair.slm.name),
    }
    cells = []
    for method, (llm, slm) in names.items():
        for batch in (1, 8):
            for prompt in (32, 64):
                prediction = predicted(method, pair, Request(prompt, 16, batch), profile)
                factor = factors.get((method, batch), 1.0)
                phases = {p: (0.5 * s * factor, s * factor, 9 * s) for p, s in prediction.phases.items()}
                ttft = (prediction.ttft_s,) * 3
                cells.append(
                    Cell(
                        method=method,
                        llm=llm,
                        slm=slm,
                        batch=batch,
                        prompt_tokens=prompt,
                        output_tokens=16,
                        started_at=STARTED,
                        phases_s=phases,
                        ttft_s=ttft,
                        tpot_s=ttft,
                    )
                )
    return tuple(cells)
