"""Measurements as processes of their own: started, found again, cancelled; pages only watch them.

    results/.jobs/JOB/{job.json, plan.json, events.jsonl, stdout, stderr, run, cancelled, ended}

A job outlives the browser that asked for it and the server that started it.
All that is known of it lies in its folder, so that any server finds it there.
"""

from hybrid.benchmark.jobs.folder import Job, current, latest
from hybrid.benchmark.jobs.starting import (
    Request,
    ResumeRequest,
    blocking_reason,
    cancel,
    check_request,
    probe_engines,
    shell_command,
    start,
)

__all__ = [
    "Job",
    "Request",
    "ResumeRequest",
    "blocking_reason",
    "cancel",
    "check_request",
    "current",
    "latest",
    "probe_engines",
    "shell_command",
    "start",
]
