"""Where runs, grids and profiles of the tests were made: on a machine that does not exist."""

from dataclasses import replace
from typing import Any

from hybrid.schema import Environment

_ENVIRONMENT = Environment(
    product="0.1.0",
    code="620233b",
    weights_sha256="",
    python="3.11.7",
    system="Linux",
    cpu="A CPU",
    cpu_count=2,
    memory_bytes=8 << 30,
    device_name="A CPU",
    packages={"torch": "2.13.0"},
)


def made_environment(**changes: Any) -> Environment:
    """One that differs from all others in nothing but `changes`."""
    return replace(_ENVIRONMENT, **changes)
