"""Which systems can be asked for, known without importing what runs them."""

import subprocess
import sys

import pytest

from hybrid.engines.registry import ENGINES
from hybrid.errors import InputError
from hybrid.live import answers
from hybrid.schema import METHODS


def test_every_system_is_one_that_its_engine_has():
    systems = answers.systems()
    assert systems[: len(METHODS)] == tuple(METHODS)
    assert set(answers.DEFAULT) <= set(systems)
    for system in systems[len(METHODS) :]:
        assert system.method in ENGINES[system.engine].methods
        assert "cpu" in ENGINES[system.engine].dtypes or "cuda" in answers.devices()


def test_an_engine_whose_package_lacks_is_not_offered(monkeypatch):
    monkeypatch.setattr(answers, "find_spec", lambda package: None if package == "ctranslate2" else object())
    answers.systems.cache_clear()
    try:
        assert not any("ctranslate2" in system for system in answers.systems())
        assert "hybrid@torch" in answers.systems()
    finally:
        answers.systems.cache_clear()


def test_choosing_imports_no_model_code():
    script = (
        "import sys, hybrid.live.answers, hybrid.live.batch\n"
        "import hybrid.live.model_cache, hybrid.models.manifest\n"
        "hybrid.live.answers.systems()\n"
        "print([name for name in ('torch', 'transformers', 'onnxruntime', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_one_to_six_systems_can_be_asked():
    answers.check_systems(("llm",) * 6)
    with pytest.raises(InputError, match="choose at least one"):
        answers.check_systems(())
    with pytest.raises(InputError, match="7 systems are chosen; choose 6"):
        answers.check_systems(("llm",) * 7)


def test_every_engine_is_listed_with_a_reason_where_it_does_not_run():
    listed = [dict(zip(answers.ABOUT_ENGINES, row, strict=True)) for row in answers.engines_here().rows]
    assert {row["engine"] for row in listed} == set(ENGINES)
    runs = {(row["engine"], row["device"]): row for row in listed}
    assert runs["torch", "cpu"]["runs here"] == "yes"
    for row in listed:
        assert (row["about"] == ENGINES[row["engine"]].about) == (row["runs here"] == "yes")
