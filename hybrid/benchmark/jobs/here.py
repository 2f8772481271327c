"""Which engines run here: asked in a process of its own, as several engines import torch to know."""

import json
import subprocess
from collections.abc import Mapping

from hybrid.benchmark.jobs.folder import COMMAND, surroundings
from hybrid.errors import EngineError

TIMEOUT_S = 120.0


def engines_here() -> Mapping[str, Mapping[str, str | None]]:
    """By engine and kind of device why it does not run here, None where it does; takes seconds.

    Raises EngineError when the command that knows fails.
    """
    try:
        asked = subprocess.run(
            [*COMMAND, "engines", "--json"],
            capture_output=True, check=True, timeout=TIMEOUT_S, env=surroundings(), stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return {row["name"]: row["missing"] for row in json.loads(asked.stdout)}
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise EngineError(f"What runs here is not known: `hybrid engines` failed ({error}).") from error
