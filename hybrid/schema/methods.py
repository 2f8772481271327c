"""The ways to answer, and the phases that an answer consists of."""

from collections.abc import Mapping
from typing import Literal

Model = Literal["llm", "slm", "hybrid"]
MODELS: tuple[Model, ...] = ("llm", "slm", "hybrid")

# The ways to answer with a pair: by one of its models, or by the LLM, losslessly sped up by drafts. By
# method, the models that it needs: the LLM verifies, the hybrid, the SLM or a look into the prompt drafts.
METHODS: Mapping[str, tuple[Model, ...]] = {
    "llm": ("llm",),
    "slm": ("slm",),
    "hybrid": ("hybrid",),
    "lossless": ("llm", "hybrid"),
    "lossless-slm": ("llm", "slm"),
    "lossless-lookup": ("llm",),
}

# What a run measures: METHOD, or METHOD@ENGINE for another engine than the plan's.
System = str
SYSTEMS: tuple[System, ...] = MODELS

Phase = Literal["tokenize", "encode", "project", "prefill", "draft", "verify", "decode", "detokenize"]
PHASES: tuple[Phase, ...] = (
    "tokenize",
    "encode",
    "project",
    "prefill",
    "draft",
    "verify",
    "decode",
    "detokenize",
)

FinishReason = Literal["eos", "length"]


def method_of(system: System) -> str:
    """The METHOD in a system's name. Raises ValueError when there is no such method."""
    method = system.partition("@")[0]
    if method not in METHODS or system.endswith("@"):
        raise ValueError(f"system is {system!r}, not one of {', '.join(METHODS)}, or METHOD@ENGINE")
    return method
