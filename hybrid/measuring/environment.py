"""Where a run was made, so that its times can be compared: machine, software, weights.

Nothing that names a person or a place: no host, no user, no path. Torch is
asked only about a GPU.
"""

import os
import platform
import re
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hybrid.measuring.hardware import cpu_name, hardware, unlike
from hybrid.schema import Device, Environment
from hybrid.store.folders import ROOT

PRODUCT = "hybrid-bench"
PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "sacrebleu",
    "rouge-score",
)
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
GIT_TIMEOUT_S = 5.0


def environment(device: Device, weights_sha256: str, packages: Sequence[str] = ()) -> Environment:
    """Return the environment of a run on `device`, such as cpu or cuda:0, with the pair of that hash.

    packages: which the run depends on besides those that every run does.
    """
    cpu = cpu_name()
    gpu = device.kind != "cpu"
    return Environment(
        product=product_version(ROOT),
        code=code_version(ROOT),
        weights_sha256=weights_sha256,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=cpu,
        cpu_count=os.cpu_count() or 1,
        memory_bytes=_memory_bytes(),
        device_name=_gpu_name(device) if gpu else cpu,
        packages=versions((*PACKAGES, *packages)) | (_gpu_software() if gpu else {}),
        hardware=hardware(device),
    )


def differing(first: Environment, second: Environment) -> dict[str, tuple[str, str]]:
    """By field, or package, the two values that differ; `none` where there is none, hashes cut short.

    `machine` says in what the machines differ, where both are known. Memory is left out: virtual machines
    are given more of it while they run.
    """
    fields, other_fields = _flat(first), _flat(second)
    names = [name for name in fields | other_fields if fields.get(name) != other_fields.get(name)]
    changes = {
        name.replace("_", " "): (_short(fields.get(name)), _short(other_fields.get(name))) for name in names
    }
    machines = unlike(first.hardware, second.hardware)
    return changes | ({"machine": machines} if machines else {})


def differences(before: Environment, now: Environment) -> tuple[str, ...]:
    """List how two environments differ, one short piece a field: `python 3.11.9, now 3.12.1`."""
    return tuple(f"{name} {old}, now {new}" for name, (old, new) in differing(before, now).items())


def product_version(root: Path) -> str:
    """Return the product's version: of the clone at `root`, else the installed one, else empty."""
    try:
        # An editable install keeps the version that it was installed with; the clone's is the newer.
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
        return str(project["version"]) if project["name"] == PRODUCT else ""
    except (OSError, ValueError, KeyError):
        return versions((PRODUCT,)).get(PRODUCT, "")


def code_version(root: Path) -> str:
    """Return the commit of the clone at `root`, with `+changes` when the product's files differ from it.

    Empty when `root` is no clone, or git is not there.
    """
    if not (root / ".git").exists():  # a repository further up is not the product's own
        return ""
    commit = _git(root, "rev-parse", "HEAD")
    # Stored results and notes beside the product do not change what is measured.
    changes = _git(root, "status", "--porcelain", "--", "hybrid")
    return commit + "+changes" if commit and changes else commit


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    installed = {}
    for name in packages:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    return installed


def _memory_bytes() -> int:
    """Physical memory; 0 where the system does not say."""
    import psutil

    return int(psutil.virtual_memory().total)


def _gpu_name(device: Device) -> str:
    import torch

    return str(torch.cuda.get_device_name(device))


def _gpu_software() -> dict[str, str]:
    """Versions of CUDA and of NVIDIA's kernel driver, as far as they can be read."""
    import torch

    software = {"cuda": str(torch.version.cuda)}
    try:
        driver = re.search(r"\d+\.\d+(\.\d+)?", NVIDIA_DRIVER.read_text("utf-8"))
    except OSError:
        driver = None
    return software | ({"nvidia-driver": driver[0]} if driver else {})


def _flat(environment: Environment) -> dict[str, object]:
    fields = asdict(environment)
    del fields["memory_bytes"], fields["hardware"]
    packages: Mapping[str, str] = fields.pop("packages")
    return fields | {f"package {name}": value for name, value in packages.items()}


def _short(value: object) -> str:
    """Shorten a commit or a SHA-256 to its first 12 digits, which tell any two apart."""
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b", r"\1", str(value or "none"))
