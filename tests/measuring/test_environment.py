"""Where a run was made: complete, comparable, and silent about people and places."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from hybrid.measuring.environment import code_version, differences, differing, environment, product_version
from hybrid.schema import CPU, Device, Environment, Hardware

ROOT = Path(__file__).parents[2]


def test_it_names_machine_software_and_weights():
    here = environment(CPU, "abc")
    assert here.product == tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert here.weights_sha256 == "abc"
    assert here.python == ".".join(map(str, sys.version_info[:3]))
    assert here.system.split()[0] == os.uname().sysname
    assert here.cpu
    assert here.device_name == here.cpu
    assert here.cpu_count == os.cpu_count()
    assert here.memory_bytes > 2**28
    assert list(here.packages) == [
        "torch",
        "transformers",
        "tokenizers",
        "safetensors",
        "numpy",
        "sacrebleu",
        "rouge-score",
    ]
    assert all(version[0].isdigit() for version in here.packages.values())


def test_it_names_no_host_no_user_and_no_path():
    text = " ".join(str(value) for value in asdict(environment(CPU, "abc")).values())
    for secret in (socket.gethostname(), getpass.getuser(), str(Path.home()), str(ROOT)):
        assert secret not in text.split()
        assert not (len(secret) > 5 and secret in text)


def test_it_needs_no_torch():
    code = (
        "import sys; from hybrid.measuring.environment import environment; from hybrid.schema import CPU; "
        "environment(CPU, ''); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_gpu_is_named_with_its_software(tmp_path, monkeypatch):
    import torch

    card = SimpleNamespace(name="NVIDIA H200", major=9, minor=0, total_memory=1, multi_processor_count=132)
    monkeypatch.setattr(torch.cuda, "get_device_name", {"cuda:1": "NVIDIA H200"}.__getitem__)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {"cuda:1": card}.__getitem__)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    driver = tmp_path / "version"
    monkeypatch.setattr("hybrid.measuring.environment.NVIDIA_DRIVER", driver)
    assert "nvidia-driver" not in environment(Device("cuda", 1), "abc").packages
    driver.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build\n")
    here = environment(Device("cuda", 1), "abc")
    assert here.device_name == "NVIDIA H200"
    assert here.packages["cuda"] == "13.0"
    assert here.packages["nvidia-driver"] == "575.57.08"
    assert here.hardware.gpu is not None
    assert here.hardware.gpu.multiprocessors == 132


def test_what_a_system_does_not_say_is_left_open(tmp_path, monkeypatch):
    monkeypatch.setattr("hybrid.measuring.hardware.CPU_INFO", tmp_path / "missing")
    here = environment(CPU, "abc")
    assert here.memory_bytes > 2**20
    assert isinstance(here.cpu, str)


def test_differences_name_the_fields():
    before = Environment(
        product="0.1.0",
        code="a1",
        weights_sha256="w",
        python="3.11.7",
        system="Linux",
        cpu="AMD",
        cpu_count=2,
        memory_bytes=8,
        device_name="AMD",
        packages={"torch": "2.12.0"},
    )
    assert differences(before, before) == ()
    packages = {"torch": "2.13.0", "cuda": "13.0"}
    now = replace(before, python="3.12.1", memory_bytes=9, packages=packages, code="")
    assert differences(before, now) == (
        "code a1, now none",
        "python 3.11.7, now 3.12.1",
        "package torch 2.12.0, now 2.13.0",
        "package cuda none, now 13.0",
    )


def test_differing_has_both_values_and_hashes_cut_short():
    before = Environment(
        product="0.1.0",
        code="a1" * 20 + "+changes",
        weights_sha256="b" * 64,
        python="3.11",
        system="Linux",
        cpu="AMD",
        cpu_count=2,
        memory_bytes=8,
        device_name="AMD",
        packages={},
    )
    assert differing(before, replace(before, memory_bytes=9)) == {}
    now = replace(before, code="", weights_sha256="c" * 64, cpu_count=4, packages={"cuda": "13.0"})
    assert differing(before, now) == {
        "code": ("a1a1a1a1a1a1+changes", "none"),
        "weights sha256": ("b" * 12, "c" * 12),
        "cpu count": ("2", "4"),
        "package cuda": ("none", "13.0"),
    }


def test_machines_of_one_name_differ_where_both_are_known():
    old = Environment(
        product="0.1.0",
        code="",
        weights_sha256="",
        python="3.11",
        system="Linux",
        cpu="AMD EPYC",
        cpu_count=2,
        memory_bytes=8,
        device_name="AMD EPYC",
        packages={},
    )
    older, newer = (replace(old, hardware=Hardware("AuthenticAMD", "25", model)) for model in ("17", "1"))
    assert differing(older, newer) == {"machine": ("family 25 model 17", "family 25 model 1")}
    assert differing(old, older) == differing(older, older) == {}
    assert differences(older, newer) == ("machine family 25 model 17, now family 25 model 1",)


def test_the_version_is_that_of_the_clone_or_of_the_installed_package(tmp_path, monkeypatch):
    monkeypatch.setattr("hybrid.measuring.environment.version", {"hybrid-bench": "7.0"}.__getitem__)
    assert product_version(tmp_path) == "7.0"
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "hybrid-bench"\nversion = "8.1"\n', "utf-8")
    assert product_version(tmp_path) == "8.1"


# the commit


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with one commit of hybrid/ and results/."""
    if shutil.which("git") is None:
        pytest.skip("git is not here")
    root = tmp_path / "clone"
    for folder in ("hybrid", "results"):
        (root / folder).mkdir(parents=True)
        (root / folder / "file.py").write_text("one", "utf-8")
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(root), *command], check=True)
    return root


def test_a_clean_clone_is_its_commit(clone):
    commit = code_version(clone)
    assert len(commit) == 40
    assert set(commit) <= set("0123456789abcdef")
    (clone / "results" / "new.json").write_text("a stored run changes no code", "utf-8")
    assert code_version(clone) == commit


@pytest.mark.parametrize("name", ["file.py", "new.py"])
def test_changed_and_new_files_of_the_product_are_marked(clone, name):
    commit = code_version(clone)
    (clone / "hybrid" / name).write_text("two", "utf-8")
    assert code_version(clone) == commit + "+changes"


def test_outside_a_clone_of_its_own_there_is_no_commit(clone, monkeypatch):
    assert code_version(clone / "hybrid") == ""  # the repository above may be anybody's
    monkeypatch.setenv("PATH", "")
    assert code_version(clone) == ""


def test_reading_the_commit_writes_nothing(clone):
    os.utime(clone / "hybrid" / "file.py", (1, 1))  # git would note the new time in its index
    before = (clone / ".git" / "index").read_bytes()
    code_version(clone)
    assert (clone / ".git" / "index").read_bytes() == before
