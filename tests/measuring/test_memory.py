"""Peak memory in a process of its own, and every way in which that process may fail."""

import io
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import hybrid.measuring.memory
from hybrid.errors import EngineError
from hybrid.measuring.memory import main, module_environment, peak_memory
from hybrid.schema import Example, Memory, Plan, Sampling

PLAN = Plan("suite", task="translate-en-de", pair="tiny", engine="torch", sampling=Sampling(8, truncate=True))
EXAMPLES = [Example(f"e{n}", "d", "house " * n, ("Haus",)) for n in (2, 9, 1, 5)]


@pytest.fixture(autouse=True)
def _tiny_zoo(tiny_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))


def test_a_system_is_measured_in_a_process_of_its_own(monkeypatch, tmp_path):
    (tmp_path / "json.py").write_text("raise SystemExit('a stranger ran')", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)  # from a clone that is not installed, too
    memory = peak_memory(replace(PLAN, batch_size=2), "hybrid", EXAMPLES)
    assert memory.device == 0
    assert 50e6 < memory.before_model < memory.resident < 4e9


def test_the_peak_stays_when_memory_is_given_back():
    code = """if True:
        from hybrid.measuring.memory import peak_resident
        before = peak_resident()
        block = b"x" * (before + 2**26)  # more than was ever in use
        del block
        print(peak_resident() - before)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 2**25


def test_the_peak_of_a_parent_is_not_the_childs():
    block = b"x" * 2**28
    code = "from hybrid.measuring.memory import peak_resident; print(peak_resident())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < len(block)


def test_the_longest_prompts_are_answered_as_the_run_answers_them(monkeypatch):
    orders: list[dict[str, object]] = []

    def run(command: list[str], **settings: str) -> SimpleNamespace:
        assert command == [sys.executable, "-P", "-m", "hybrid.measuring.memory"]
        orders.append(json.loads(settings["input"]))
        return SimpleNamespace(
            stdout='a library says hello\n{"resident": 3, "before_model": 2, "device": 1}\n'
        )

    monkeypatch.setattr(subprocess, "run", run)
    plan = replace(PLAN, batch_size=2, threads=3)
    assert peak_memory(plan, "slm", EXAMPLES) == Memory(resident=3, before_model=2, device=1)
    assert orders[0]["texts"] == [EXAMPLES[3].source, EXAMPLES[1].source]
    assert orders[0]["system"] == "slm"
    assert orders[0]["plan"]["threads"] == 3
    assert orders[0]["plan"]["sampling"] == {"max_new_tokens": 8, "ignore_eos": False, "truncate": True}


def test_the_peak_is_of_all_gpus_that_an_llm_lies_on(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda n: (5, 7, 0)[n])
    assert hybrid.measuring.memory._gpu_peak() == 12


def test_the_process_finds_the_same_code_and_not_the_current_folder(monkeypatch, tmp_path):
    root = str(Path(hybrid.__file__).parents[1])
    for value, expected in (("", root), (f"/a{os.pathsep}", os.pathsep.join([root, "/a"]))):
        monkeypatch.setenv("PYTHONPATH", value)
        assert module_environment()["PYTHONPATH"] == expected
    monkeypatch.setattr(hybrid.measuring.memory, "ROOT", tmp_path / "site-packages")
    assert module_environment()["PYTHONPATH"] == f"/a{os.pathsep}"


def failure(plan: Plan = PLAN) -> str:
    with pytest.raises(EngineError) as caught:
        peak_memory(plan, "llm", EXAMPLES)
    message = str(caught.value)
    assert message.startswith("The memory of llm was not measured: ")
    assert "\n" not in message
    return message


def test_what_the_process_cannot_do_is_one_sentence_on_standard_error(monkeypatch):
    request = {"plan": asdict(replace(PLAN, pair="huge")), "system": "llm", "texts": ["a"]}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(request)))
    with pytest.raises(SystemExit, match=r"^There is no pair 'huge'; available: tiny\.$"):
        main()


def test_the_process_answers_on_its_last_line(monkeypatch, capsys):
    monkeypatch.setattr(
        sys, "stdin", io.StringIO(json.dumps({"plan": asdict(PLAN), "system": "slm", "texts": ["a"]}))
    )
    main()
    memory = Memory(**json.loads(capsys.readouterr().out.splitlines()[-1]))
    assert 0 < memory.before_model <= memory.resident


def test_a_process_that_dies_is_one_sentence(monkeypatch, tmp_path):
    for script, error in (
        ("exit 3", "exit code 3"),
        ("kill -9 $$", "exit code -9"),
        ("echo hello", "its process gave no figures"),
        ("echo one >&2; echo two >&2; exit 1", "two"),
        ("", "its process gave no figures"),
        ("echo {}", "its process gave no figures"),
    ):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n", "utf-8")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        assert error in failure()


def test_a_process_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr("hybrid.measuring.memory.TIMEOUT_S", 0.05)
    assert "timed out after 0.05 seconds" in failure()


def test_no_python_to_start_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    assert "No such file" in failure()
