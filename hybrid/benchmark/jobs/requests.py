"""What a job is asked to do: a Plan, or to go on with a stored run; and in which engines it can."""

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from hybrid.benchmark.jobs.folder import COMMAND, child_environment
from hybrid.benchmark.plan_options import bench_command
from hybrid.benchmark.plans import check_plan, check_suite_name
from hybrid.errors import EngineError, StoreError
from hybrid.schema import Plan
from hybrid.store.folders import RUN_ID

PROBE_S = 120.0  # most seconds that probe_engines() waits


@dataclass(frozen=True, kw_only=True)
class ResumeRequest:
    """Go on with an interrupted run. Raises StoreError for what is no id.

    suite: its suite's name, to be shown. memory: measure peak memory too. threads: of its plan.
    """

    run_id: str
    suite: str
    memory: bool = True
    threads: int = 1

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run_id):
            raise StoreError(f"{self.run_id!r} is not the id of a run.")

    @property
    def arguments(self) -> tuple[str, ...]:
        """Of `hybrid bench`."""
        return f"--resume={self.run_id}", *(() if self.memory else ("--no-memory",))


Request = Plan | ResumeRequest


def check_request(request: Request) -> None:
    """Raise HybridError for what the command would refuse, as far as that is known here."""
    if isinstance(request, Plan):
        check_suite_name(request.suite)
        check_plan(request)


def shell_command(request: Request) -> str:
    """Write the command that does the same, as anyone can type it."""
    if isinstance(request, Plan):
        return bench_command(request)
    return shlex.join(("hybrid", "bench", *request.arguments))


def probe_engines() -> Mapping[str, Mapping[str, str | None]]:
    """Tell by engine and kind of device why it does not run here, None where it does; takes seconds.

    Asked in a process of its own, as several engines import torch to know.

    Raises EngineError when the command that knows fails.
    """
    try:
        answer = subprocess.run(
            [*COMMAND, "engines", "--json"],
            capture_output=True,
            check=True,
            timeout=PROBE_S,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
        )
        return {row["name"]: row["missing"] for row in json.loads(answer.stdout)}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"What runs here is not known: `hybrid engines` failed ({error}).") from error
