"""One prompt, any set of systems: measured one after another, then replayed side by side.

    measuring   asks each engine in turn      turns    whose turn it is, in order of coming
    replay      what to show when, and waits  shelf    the engines that are in memory
    verdicts    what the figures say          batch    the same for prompts from a file
    scoring     answers against a reference   history  what was asked in one visit
    choice      which systems there are       link     what a page's address carries

Nothing here knows a page, and nothing imports torch before a model is asked for.
"""

from hybrid.live.measuring import Answers, Request, measure_all
from hybrid.live.replay import Frame, Shown, frames, paced, whole
from hybrid.live.turns import Turns
from hybrid.live.verdicts import Speedup, baseline_of, remarks, speedup, verdict

__all__ = [
    "Answers",
    "Frame",
    "Request",
    "Shown",
    "Speedup",
    "Turns",
    "baseline_of",
    "frames",
    "measure_all",
    "paced",
    "remarks",
    "speedup",
    "verdict",
    "whole",
]
