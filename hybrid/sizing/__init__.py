"""Latency, memory and cost of models by their sizes: measured with random weights, or predicted.

    for LLM: for batch, prompt, answer length: for repeat: for method and SLM:  answer (timed)   -> a grid
    Profile (what `hybrid device` measured) + two shapes + a request -> Predicted

A grid's weights are random, its prompts are made-up words of exactly so many
tokens, and its answers go on to exactly so many. All of an LLM's ways to answer
take turns, so that a machine that slows down slows all alike. What one model
does alone is measured once and stands for all its pairs.

A profile says what each kind of work costs on a device (cost_features.py says
which kinds there are); shapes say how much of it there is.
"""

from hybrid.sizing.break_even import LONGEST, BreakEven, break_even
from hybrid.sizing.costs import Costs
from hybrid.sizing.memory import (
    MemoryEstimate,
    check_lengths,
    check_memory,
    cost_per_million_tokens,
    free_bytes,
    memory_estimate,
    needed_bytes,
)
from hybrid.sizing.prediction import Pair, Predicted, Request, beyond, predict, predicted
from hybrid.sizing.prediction_error import ErrorReport, Spread, error_report, fits, fitting_grid
from hybrid.sizing.profile import (
    Profile,
    Stranger,
    load_profile,
    profile_names,
    read_profiles,
    save_profile,
    stranger,
)

__all__ = [
    "LONGEST",
    "BreakEven",
    "Costs",
    "ErrorReport",
    "MemoryEstimate",
    "Pair",
    "Predicted",
    "Profile",
    "Request",
    "Spread",
    "Stranger",
    "beyond",
    "break_even",
    "check_lengths",
    "check_memory",
    "cost_per_million_tokens",
    "error_report",
    "fits",
    "fitting_grid",
    "free_bytes",
    "load_profile",
    "memory_estimate",
    "needed_bytes",
    "predict",
    "predicted",
    "profile_names",
    "read_profiles",
    "save_profile",
    "stranger",
]
