"""What a run records of an engine: its settings, and what the models' shapes make of each token."""

import json
from pathlib import Path
from typing import Any

from hybrid.engines.contract import Engine
from hybrid.models.arithmetic import BYTES, decode_bytes, reading_flops, writer_of
from hybrid.models.manifest import checked
from hybrid.models.shapes import Shape, shape_of_config
from hybrid.schema import METHODS, MODELS, Ran

Shapes = tuple[Shape, Shape]  # of the LLM and of the SLM


def ran(engine: Engine, shapes: Shapes | None) -> Ran:
    """How `engine` runs. shapes: None for models whose arithmetic is not known."""
    bytes_, flops, attention = _costs(engine.method, engine.dtype, *shapes) if shapes else (0, 0, 0)
    return Ran(engine.name, engine.device, engine.dtype, dict(engine.options), bytes_, flops, attention)


def pair_shapes(folder: Path, manifest: dict[str, Any]) -> Shapes | None:
    """Of a pair on disk; None when its models are of a kind whose shape is not known."""
    try:
        configs = [json.loads(checked(folder, f"{m}/config.json", manifest).read_bytes()) for m in MODELS[:2]]
        llm, slm = (shape_of_config(folder.name, config, folder.name) for config in configs)
    except (KeyError, TypeError, ValueError):
        return None
    return llm, slm


def _costs(method: str, dtype: str, llm: Shape, slm: Shape) -> tuple[int, int, int]:
    """Weight bytes a decoded token, operations a prompt token, and operations a pair of prompt tokens."""
    models = METHODS[method].models
    reading = [model for model in models if model != "llm" or "hybrid" not in models]  # which has it inside
    one, two = (sum(reading_flops(model, llm, slm, tokens) for model in reading) for tokens in (1, 2))
    attention = (two - 2 * one) // 2  # from a x tokens + b x tokens squared
    # A pass that verifies drafts is no single token's.
    known = len(models) == 1 and method == models[0] and dtype in BYTES
    bytes_ = decode_bytes(writer_of(models[0], llm, slm), dtype) if known else 0
    return bytes_, one - attention, attention
