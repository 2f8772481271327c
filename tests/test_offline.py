"""Nothing leaves the machine: no name is looked up, no other host is asked, nothing is written into the home.

What is looked at runs in a network namespace without a way out, where the kernel counts what found no way.
Variables such as CI, under which libraries keep still, are not set there.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
AS_ROOT = () if hasattr(os, "geteuid") and os.geteuid() == 0 else ("--map-root-user",)
ALONE = ("unshare", "--net", *AS_ROOT)
# Runs the commands given as JSON beside each other, and prints how much found no way out, or was UDP.
WITNESS = """
import fcntl, json, pathlib, socket, struct, subprocess, sys
with socket.socket() as probe:  # SIOCSIFFLAGS: IFF_UP, so that there is a loopback
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH14x", b"lo", 1))
running = [subprocess.Popen(command) for command in json.loads(sys.argv[1])]
codes = [process.wait() for process in running]
counts = {}
lines = pathlib.Path("/proc/net/snmp").read_text().splitlines()
for names, numbers in zip(lines[::2], lines[1::2]):
    kind = names.split(":")[0]
    counts |= {kind + name: int(n) for name, n in zip(names.split()[1:], numbers.split()[1:])}
counts |= {n: int(v) for n, v in map(str.split, pathlib.Path("/proc/net/snmp6").read_text().splitlines())}
seen = ("IpOutNoRoutes", "Ip6OutNoRoutes", "UdpOutDatagrams", "Udp6OutDatagrams")
print(json.dumps({"codes": codes, "left": sum(counts.get(name, 0) for name in seen)}))
"""
COMMANDS = """
import sys
from hybrid.cli import main
suite = "everyday-en-de --limit 2 --systems llm,hybrid --engine onnx --max-new-tokens 4"
for line in (f"bench {suite} {sys.argv[1]}", "export -o all.csv", "report latest -o all.html"):
    main(line.split(), standalone_mode=False)
"""
LOADED = """
import sys, time
from hybrid.engines.registry import create_engines
from hybrid.engines.contract import EngineConfig
from hybrid.models.sources import ZooSource
from hybrid.schema import CPU, silent
for name in ("onnx", "torch", "transformers", "ctranslate2"):
    try:
        create_engines(name, EngineConfig(ZooSource(None, observer=silent), ("slm",), CPU, "", 1, {}, silent))
    except Exception as error:
        print(name, error, file=sys.stderr)
time.sleep(float(sys.argv[1]))
"""


def left_by(*commands: list[str], home: Path, zoo: Path) -> int:
    """How much the commands tried to send; each must end well."""
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], capture_output=True).returncode:
        pytest.skip("network namespaces are not permitted here")
    beside = home.parent
    names = ("HYBRID_RESULTS", "HYBRID_CACHE", "HYBRID_RUNTIME")
    folders = {name: str(beside / name.lower()) for name in names}
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home)} | folders
    done = subprocess.run(
        [*ALONE, sys.executable, "-c", WITNESS, json.dumps(commands)],
        env=environment | {"HYBRID_ZOO": str(zoo)}, capture_output=True, text=True, check=True, cwd=beside,
    )  # fmt: skip
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["codes"] == [0] * len(commands), done.stderr
    return int(report["left"])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_the_witness_sees_a_look_up(home: Path, tiny_zoo: Path) -> None:
    ask = "import contextlib, socket\nwith contextlib.suppress(OSError): socket.getaddrinfo('a.example', 1)"
    assert left_by([sys.executable, "-c", ask], home=home, zoo=tiny_zoo) > 0


def test_measuring_and_the_pages_ask_nobody(home: Path, tiny_zoo: Path) -> None:
    bench = [sys.executable, "-c", COMMANDS, "--no-memory --blocks 1"]
    visit = [sys.executable, str(ROOT / "tests" / "pages" / "visitor.py"), "overview", "benchmark", "runs"]
    assert left_by(bench, visit, home=home, zoo=tiny_zoo) == 0
    assert list(home.rglob("*")) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_engines_ask_nobody_after_a_while(home: Path, tiny_zoo: Path) -> None:
    """A library may wait: ONNX Runtime asks 13 s after it was imported."""
    pages = ["overview", "live", "benchmark", "tradeoffs", "pairings", "examples", "runs"]
    visit = [sys.executable, str(ROOT / "tests" / "pages" / "visitor.py"), *pages]
    bench = [sys.executable, "-c", COMMANDS, "--blocks 2"]  # in processes of their own, memory too
    engines = [sys.executable, "-c", LOADED, "40"]
    assert left_by(engines, bench, visit, home=home, zoo=tiny_zoo) == 0
    assert list(home.rglob("*")) == []
