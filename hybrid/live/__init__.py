"""One prompt, any set of systems: measured one after another, then replayed side by side.

    answers      which systems there are, each measured in turn, and what to show of them when
    batch        the same for prompts from a file       verdicts  what figures and scores say
    model_cache  the engines in memory, who may run one history   what was asked in one visit

Nothing here knows a page, and nothing imports torch before a model is asked for.
"""

from hybrid.live.answers import Answers, Frame, Request, Shown, frames, measure_all, paced, whole
from hybrid.live.model_cache import FairLock
from hybrid.live.verdicts import Speedup, baseline_of, remarks, speedup, verdict

__all__ = [
    "Answers",
    "FairLock",
    "Frame",
    "Request",
    "Shown",
    "Speedup",
    "baseline_of",
    "frames",
    "measure_all",
    "paced",
    "remarks",
    "speedup",
    "verdict",
    "whole",
]
