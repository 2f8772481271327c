"""The nouns of the product: frozen dataclasses, standard library only.

The flow is `Example -> Step* -> Generation(text, Timing) -> Record -> Run`: an
engine yields Steps, the clock outside turns them into Generations, a benchmark
turns those into Records, and a Run says under which conditions they were made.
"""

from hybrid.schema.answers import (
    TASKS,
    Example,
    Generation,
    Sampling,
    Score,
    Step,
    Suite,
    Task,
    Timing,
)
from hybrid.schema.methods import (
    METHODS,
    MODELS,
    PHASES,
    SYSTEMS,
    FinishReason,
    Model,
    Phase,
    System,
    method_of,
)
from hybrid.schema.runs import (
    Environment,
    Memory,
    Plan,
    Ran,
    Record,
    Resumption,
    Run,
)

__all__ = [
    "METHODS",
    "MODELS",
    "PHASES",
    "SYSTEMS",
    "TASKS",
    "Environment",
    "Example",
    "FinishReason",
    "Generation",
    "Memory",
    "Model",
    "Phase",
    "Plan",
    "Ran",
    "Record",
    "Resumption",
    "Run",
    "Sampling",
    "Score",
    "Step",
    "Suite",
    "System",
    "Task",
    "Timing",
    "method_of",
]
