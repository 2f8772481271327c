"""Measurements as processes of their own: started, found again, cancelled; pages only watch them.

    results/.jobs/JOB/{job.json, stdout, stderr, run, cancelled, ended}

A job outlives the browser that asked for it and the server that started it.
All that is known of it lies in its folder, so that any server finds it there.
"""

from hybrid.jobs.asked import Asked, GoOn, Measurement
from hybrid.jobs.folder import Job, current, latest
from hybrid.jobs.here import engines_here
from hybrid.jobs.starting import cancel, obstacle, start

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
