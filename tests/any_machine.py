"""What tests take so that they hold on any machine, beside anything: examples without a clock, free ports."""

import socket
from random import SystemRandom

from hypothesis import HealthCheck, settings

# The same examples each time, however long they take.
STEADY = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
# Below those that systems give to whoever connects to somewhere: a browser takes dozens meanwhile.
PORTS = range(20_000, 32_768)


def free_port() -> int:
    """A port of this machine that nobody listens on, and that no outgoing connection will be given."""
    for port in SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
