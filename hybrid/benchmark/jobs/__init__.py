"""Measurements as processes of their own: started, found again, cancelled; pages only watch them.

    results/.jobs/JOB/{job.json, stdout, stderr, run, cancelled, ended}

A job outlives the browser that asked for it and the server that started it.
All that is known of it lies in its folder, so that any server finds it there.
"""

from hybrid.benchmark.jobs.asked import Asked, GoOn, Measurement
from hybrid.benchmark.jobs.folder import Job, current, latest
from hybrid.benchmark.jobs.here import engines_here
from hybrid.benchmark.jobs.starting import cancel, obstacle, start

__all__ = [
    "Asked",
    "GoOn",
    "Job",
    "Measurement",
    "cancel",
    "current",
    "engines_here",
    "latest",
    "obstacle",
    "start",
]
