"""Which machine this is, by what its kernels and its speed depend on.

    Linux     /proc/cpuinfo and /sys
    macOS     sysctl
    elsewhere what Python's platform module knows

Marketing names are not enough: two CPUs called AMD EPYC may be of two
generations, of which one multiplies 8-bit numbers by instructions of its own.
"""

import platform
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hybrid.format import counted, size
from hybrid.schema import Device, Gpu, Hardware

CPU_INFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
SYSCTL = ("sysctl", "hw", "machdep.cpu")
TIMEOUT_S = 5.0

# Instruction sets that matrix kernels choose between, by the names of Linux; x86 first, then Arm, where
# asimd is NEON and asimddp its dot product.
INSTRUCTIONS = (
    "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx512_fp16", "avx_vnni", "avx_vnni_int8", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "svei8mm", "svebf16", "sme",
)  # fmt: skip
# Fields of Hardware by the names of /proc/cpuinfo, of x86 and of Arm, and by those of sysctl.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "vendor": ("vendor_id", "CPU implementer", "machdep.cpu.vendor"),
    "family": ("cpu family", "CPU architecture", "machdep.cpu.family", "hw.cpufamily"),
    "model": ("model", "CPU part", "machdep.cpu.model", "hw.cpusubfamily"),
    "stepping": ("stepping", "CPU revision", "machdep.cpu.stepping"),
}
_FLAGS = ("flags", "Features", "machdep.cpu.features", "machdep.cpu.leaf7_features")
# What macOS calls some of them otherwise.
_ON_MACOS: Mapping[str, str] = {
    "avx1.0": "avx", "avx2_0": "avx2", "avx512vnni": "avx512_vnni", "avx512bf16": "avx512_bf16",
    "neon": "asimd", "dotprod": "asimddp", "fp16": "asimdhp",
}  # fmt: skip
_CACHES_ON_MACOS = {"hw.l1dcachesize": "L1d", "hw.l1icachesize": "L1i", "hw.l2cachesize": "L2"}
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


def hardware(device: Device) -> Hardware:
    """Return what this machine computes with; with the GPU's part when `device` is one."""
    cpu = cpu_hardware()
    return replace(cpu, gpu=_gpu(device)) if device.kind != "cpu" else cpu


def cpu_hardware() -> Hardware:
    """Return the same of the CPU alone, which needs no torch."""
    import psutil

    facts = _facts()
    vendor, family, model, stepping = (_first(facts, names) for names in _FIELDS.values())
    return Hardware(
        # An Apple CPU says its brand only; elsewhere the platform module may know more than nothing.
        vendor=vendor or facts.get("machdep.cpu.brand_string", "") or platform.machine(),
        family=family,
        model=model or platform.processor(),
        stepping=stepping,
        instructions=_instructions(facts),
        caches=_caches(facts),
        cores=psutil.cpu_count(logical=False) or 0,
    )


def cpu_name() -> str:
    """Return the model of the CPU as the system names it."""
    facts = _facts()
    named = facts.get("model name") or facts.get("machdep.cpu.brand_string")
    return named or platform.processor() or platform.machine()


def described(machine: Hardware) -> str:
    """Describe a machine beyond its name, in words; empty when it is not known."""
    if not machine.known:
        return ""
    numbers = (f"{name} {value}" for name in _FIELDS if (value := getattr(machine, name)))
    caches = (f"{name} of {count // 2**10} KiB" for name, count in machine.caches.items())
    return ", ".join([" ".join(numbers), counted(machine.cores, "core"), *caches, *machine.instructions])


def unlike(first: Hardware, second: Hardware) -> tuple[str, str] | None:
    """Return in what two machines differ, in words for each; None when they do not, or one is not known.

    `("family 25 model 17 without avx_vnni", "family 26 model 2 with avx_vnni")`. GPUs count where both
    used one.
    """
    if first.gpu is None or second.gpu is None:
        first, second = replace(first, gpu=None), replace(second, gpu=None)
    if not (first.known and second.known) or first == second:
        return None
    return _described(first, second), _described(second, first)


def _described(machine: Hardware, other: Hardware) -> str:
    """Describe a machine by what `other` has otherwise."""
    parts = [" ".join(f"{name} {getattr(machine, name) or 'none'}" for name in _numbers(machine, other))]
    if beyond := [name for name in machine.instructions if name not in other.instructions]:
        parts.append(f"with {', '.join(beyond)}")
    if lacking := [name for name in other.instructions if name not in machine.instructions]:
        parts.append(f"without {', '.join(lacking)}")
    for name in dict.fromkeys((*machine.caches, *other.caches)):
        if machine.caches.get(name) != other.caches.get(name):
            parts.append(f"{name} of {machine.caches.get(name, 0) // 2**10} KiB")
    if machine.cores != other.cores:
        parts.append(counted(machine.cores, "core"))
    if machine.gpu and machine.gpu != other.gpu:
        parts.append(_gpu_words(machine.gpu))
    return " ".join(filter(None, parts))


def _numbers(first: Hardware, second: Hardware) -> list[str]:
    """Name the fields by which two CPUs are told apart: family and model go together."""
    differing = [name for name in _FIELDS if getattr(first, name) != getattr(second, name)]
    if {"family", "model"} & {*differing}:
        return [
            name
            for name in _FIELDS
            if name in ("family", "model") or (name == "vendor" and name in differing)
        ]
    return differing


def _gpu_words(gpu: Gpu) -> str:
    memory, count = size(gpu.memory_bytes), gpu.multiprocessors
    return f"{gpu.name} of capability {gpu.capability} with {memory} and {count} SMs"


def _facts() -> dict[str, str]:
    """Return what the system says of its CPUs, by its own names; of cores of several kinds `a+b`."""
    try:
        text = CPU_INFO.read_text("utf-8", "replace")
    except OSError:
        text = _sysctl()
    values: dict[str, dict[str, None]] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon and value.strip():
            values.setdefault(name.strip(), {})[value.strip()] = None
    return {name: "+".join(several) for name, several in values.items()}


def _sysctl() -> str:
    """Return macOS's facts, a line each; empty elsewhere."""
    if platform.system() != "Darwin":
        return ""
    try:
        return subprocess.run(SYSCTL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _first(facts: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((facts[name] for name in names if name in facts), "")


def _instructions(facts: Mapping[str, str]) -> tuple[str, ...]:
    flags = set(re.split(r"[\s+]+", " ".join(facts.get(name, "") for name in _FLAGS).lower()))
    flags |= {name.rpartition(".")[2].lower().removeprefix("feat_") for name in _optional(facts)}
    flags |= {_ON_MACOS[name] for name in flags & _ON_MACOS.keys()}
    return tuple(name for name in INSTRUCTIONS if name in flags)


def _optional(facts: Mapping[str, str]) -> Iterator[str]:
    """List macOS's names of what the CPU has: `hw.optional.arm.FEAT_I8MM: 1`."""
    return (name for name, value in facts.items() if name.startswith("hw.optional.") and value == "1")


def _caches(facts: Mapping[str, str]) -> dict[str, int]:
    """Bytes by name, the smallest level first: of Linux, or of macOS."""
    caches = {name: int(facts[key]) for key, name in _CACHES_ON_MACOS.items() if facts.get(key, "").isdigit()}
    for folder in sorted(CACHES.glob("index*")):
        try:
            level, kind, size = (
                (folder / name).read_text("utf-8").strip() for name in ("level", "type", "size")
            )
        except OSError:
            continue
        suffix = {"Data": "d", "Instruction": "i"}.get(kind, "")
        if parts := re.fullmatch(r"(\d+)([KMG]?)", size):
            caches[f"L{level}{suffix}"] = int(parts[1]) * _UNITS[parts[2]]
    return caches


def _gpu(device: Device) -> Gpu:
    import torch

    properties = torch.cuda.get_device_properties(device)
    return Gpu(
        name=str(properties.name),
        capability=f"{properties.major}.{properties.minor}",
        memory_bytes=int(properties.total_memory),
        multiprocessors=int(properties.multi_processor_count),
    )
