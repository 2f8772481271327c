"""Machines are told apart by what their kernels depend on, whatever they are called."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hybrid.measuring import hardware as reading
from hybrid.measuring.hardware import cpu_hardware, cpu_name, described, hardware, unlike
from hybrid.schema import CPU, Device, Hardware

X86 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: {family}
model\t\t: {model}
model name\t: AMD EPYC
stepping\t: 1
cpu MHz\t\t: 2596.134
flags\t\t: fpu sse2 fma avx avx2 avx512f avx512_vnni{more}

"""
ARM = """\
processor\t: {core}
Features\t: fp asimd asimdhp asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x1
CPU part\t: {part}
CPU revision\t: 1

"""
APPLE = """\
hw.cpufamily: 458787763
hw.optional.arm.FEAT_DotProd: 1
hw.optional.arm.FEAT_I8MM: 0
hw.optional.arm.FEAT_BF16: 1
hw.optional.neon: 1
hw.l1dcachesize: 65536
hw.l2cachesize: 4194304
machdep.cpu.brand_string: Apple M2
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """machine(cpuinfo, caches): makes this machine look like another one."""

    def make(cpuinfo: str, caches: tuple[tuple[str, str, str], ...] = ()) -> None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
        for index, values in enumerate(caches):
            folder = tmp_path / "caches" / f"index{index}"
            folder.mkdir(parents=True)
            for name, value in zip(("level", "type", "size"), values, strict=True):
                (folder / name).write_text(f"{value}\n")

    monkeypatch.setattr(reading, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(reading, "CACHES", tmp_path / "caches")
    return make


def amd(machine, family: int, model: int, more: str = "") -> Hardware:
    machine(2 * X86.format(family=family, model=model, more=more))
    return cpu_hardware()


def test_an_x86_cpu(machine) -> None:
    caches = (
        ("1", "Data", "32K"),
        ("1", "Instruction", "32K"),
        ("2", "Unified", "1024K"),
        ("3", "Unified", "32M"),
    )
    machine(X86.format(family=25, model=17, more=" avx512_bf16"), caches)
    cpu = hardware(CPU)
    assert (cpu.vendor, cpu.family, cpu.model, cpu.stepping) == ("AuthenticAMD", "25", "17", "1")
    assert cpu.instructions == ("avx", "fma", "avx2", "avx512f", "avx512_vnni", "avx512_bf16")
    assert cpu.caches == {"L1d": 2**15, "L1i": 2**15, "L2": 2**20, "L3": 2**25}
    assert (cpu_name(), cpu.gpu, cpu.known) == ("AMD EPYC", None, True)
    text = described(replace(cpu, cores=2, instructions=("avx2",), caches={"L3": 2**25}))
    assert text == "vendor AuthenticAMD family 25 model 17 stepping 1, 2 cores, L3 of 32768 KiB, avx2"
    assert described(Hardware()) == ""


def test_an_arm_cpu_of_two_kinds_of_cores(machine) -> None:
    machine(ARM.format(core=0, part="0xd0c") + ARM.format(core=1, part="0xd05"))
    cpu = cpu_hardware()
    assert (cpu.vendor, cpu.family, cpu.model, cpu.stepping) == ("0x41", "8", "0xd0c+0xd05", "1")
    assert cpu.instructions == ("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve")


def test_an_apple_cpu(machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(reading.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=APPLE))
    cpu = cpu_hardware()
    assert (cpu.vendor, cpu.family) == ("Apple M2", "458787763")
    assert cpu.instructions == ("asimd", "asimddp", "bf16")
    assert cpu.caches == {"L1d": 65536, "L2": 4194304}
    assert cpu_name() == "Apple M2"


def test_where_nothing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "CPU_INFO", tmp_path / "missing")
    monkeypatch.setattr(reading.platform, "machine", lambda: "riscv64")
    cpu = cpu_hardware()
    assert (cpu.vendor, cpu.instructions, cpu.known) == ("riscv64", (), True)


def test_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    card = SimpleNamespace(
        name="NVIDIA H200", major=9, minor=0, total_memory=150 * 10**9, multi_processor_count=132
    )
    monkeypatch.setattr(torch.cuda, "get_device_properties", {"cuda:1": card}.__getitem__)
    gpu = hardware(Device("cuda", 1)).gpu
    assert gpu is not None
    assert (gpu.name, gpu.capability, gpu.memory_bytes, gpu.multiprocessors) == (
        "NVIDIA H200",
        "9.0",
        150 * 10**9,
        132,
    )
    less = replace(gpu, multiprocessors=66)
    assert unlike(replace(cpu_hardware(), gpu=gpu), replace(cpu_hardware(), gpu=less)) == (
        "NVIDIA H200 of capability 9.0 with 150.0 GB and 132 SMs",
        "NVIDIA H200 of capability 9.0 with 150.0 GB and 66 SMs",
    )
    assert unlike(replace(cpu_hardware(), gpu=gpu), cpu_hardware()) is None  # one machine, run in two ways


def test_two_cpus_of_one_name_are_two_machines(machine) -> None:
    older, newer = amd(machine, 25, 17), amd(machine, 26, 2, " avx_vnni")
    assert unlike(older, newer) == ("family 25 model 17 without avx_vnni", "family 26 model 2 with avx_vnni")
    assert older.fingerprint != newer.fingerprint == replace(newer).fingerprint
    assert unlike(older, replace(older, stepping="2", caches={"L3": 2**24}, cores=1)) == (
        f"stepping 1 L3 of 0 KiB {older.cores} cores",
        "stepping 2 L3 of 16384 KiB 1 core",
    )


def test_an_unknown_machine_differs_from_none() -> None:
    assert unlike(Hardware(), cpu_hardware()) is unlike(cpu_hardware(), Hardware()) is None
    assert (Hardware().known, Hardware().fingerprint) == (False, "")
