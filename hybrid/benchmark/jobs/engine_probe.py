"""Which engines run here: asked in a process of its own, as several engines import torch to know."""

import json
import subprocess
from collections.abc import Mapping

from hybrid.benchmark.jobs.folder import COMMAND, child_environment
from hybrid.errors import EngineError

TIMEOUT_S = 120.0


def probe_engines() -> Mapping[str, Mapping[str, str | None]]:
    """By engine and kind of device why it does not run here, None where it does; takes seconds.

    Raises EngineError when the command that knows fails.
    """
    try:
        answer = subprocess.run(
            [*COMMAND, "engines", "--json"],
            capture_output=True,
            check=True,
            timeout=TIMEOUT_S,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
        )
        return {row["name"]: row["missing"] for row in json.loads(answer.stdout)}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"What runs here is not known: `hybrid engines` failed ({error}).") from error
