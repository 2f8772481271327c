"""`hybrid engines`: what runs here, and why the rest does not."""

import json
from importlib import import_module

import pytest

from hybrid.engines.registry import ENGINES


@pytest.fixture(autouse=True)
def _no_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, device: str) -> str | None:
        return "There is no onnxruntime here; install it." if name.startswith("onnx") else None

    # By its name hybrid.cli has the command, which hides the module.
    monkeypatch.setattr(import_module("hybrid.cli.device"), "unavailable_reason", missing)


def test_every_engine_is_listed_with_what_it_can(run):
    result = run("engines")
    assert result.exit_code == 0
    assert all(f"{name}: {kind.about}" in result.stdout for name, kind in ENGINES.items())
    assert "  cpu (int8): no. There is no onnxruntime here; install it." in result.stdout
    assert "  cpu (float32, bfloat16): yes, the choice of --engine auto" in result.stdout
    assert "  --engine-option int8_encoder=on|off: " in result.stdout


def test_as_json(run):
    rows = {row["name"]: row for row in json.loads(run("engines", "--json").stdout)}
    assert list(rows) == list(ENGINES)
    assert rows["onnx"]["missing"] == {"cpu": "There is no onnxruntime here; install it."}
    assert rows["torch"]["missing"] == {"cpu": None, "cuda": None}
    assert {name: row["auto"] for name, row in rows.items() if row["auto"]} == {
        "torch": ["cpu"],
        "cuda-graph": ["cuda"],
    }
    assert rows["ctranslate2"]["systems"] == ["llm", "slm"]
