"""Latency without weights: how fast models of any sizes answer, alone and as a pair.

    for LLM: for batch, prompt, answer length: for repeat: for method and SLM:  answer (timed)

Weights are random, prompts are made-up words of exactly so many tokens, and
answers go on to exactly so many. All of an LLM's ways to answer take turns, so
that a machine that slows down slows all alike. What one model does alone is
measured once and stands for all its pairs.
"""

from hybrid.latency.cells import Participant, Size, check_lengths, participants, planned, sizes
from hybrid.latency.measuring import measure_grid, probed_engine
from hybrid.latency.room import check_room, free_bytes, needed_bytes

__all__ = [
    "Participant",
    "Size",
    "check_lengths",
    "check_room",
    "free_bytes",
    "measure_grid",
    "needed_bytes",
    "participants",
    "planned",
    "probed_engine",
    "sizes",
]
