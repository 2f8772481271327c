"""Whatever a command is given, it ends with a code of its own and a sentence, never with a traceback."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hybrid import cli
from hybrid.schema import Plan
from hybrid.store.typed_json import plain
from tests.fuzz.mutations import mutations
from tests.made_runs import store_run

FEW, MANY = 40, int(os.environ.get("FUZZ", 3000))
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
RUN = "made-0000"
ODD = (
    "", " ", "0", "-1", "1e999", "nan", "inf", "9" * 30, "9" * 5000, "1.5", "x" * 5000, "../..", "/dev/null",
    "/etc/passwd", "~", "~root/x", "latest", "llm", "llm@", "@", ":", f"{RUN}:llm", f"{RUN}:", ":llm",
    "\udcff", "\x1b[2J", "a\nb", "💥", "%s", "{0}", "--", "-", "file:", "file:.", "file:/dev/zero/x", "hf:",
    "sacrebleu:", "grids/x", "devices/x", "1,,2", "1,0", "bundled-llm", "cuda:9", "cpu:0", "T5",
    "translate-en-de",
)  # fmt: skip
# Of each command that reads, plans or is refused before it loads a model: its arguments, {} for odd values.
COMMANDS = tuple(
    line.split()
    for line in f"""
        {{}}
        runs {{}}
        runs --json {{}}
        compare {{}}
        compare {RUN} {{}}
        compare {RUN} --resamples {{}}
        compare {RUN} --seed {{}}
        compare {RUN} --baseline {{}}
        compare {RUN} --resamples 5 --json --price-per-hour {{}}
        score {{}}
        score {RUN} --metric {{}}
        export -o - {{}}
        export -o - --records {RUN} {{}}
        export -o {{}} nothing
        report -o x.html {{}}
        delete {{}}x
        bench --limit 0 {{}}
        bench --resume {{}}x
        bench --plan {{}}x
        bench everyday-en-de --systems {{}}x
        latency --llm {{}} --slm {{}}
        latency --resume {{}}x
        latency --shapes {{}}
        predict --llm {{}} --slm {{}}
        predict --llm bundled-llm --slm bundled-slm --profile {{}}
        pairs {{}}
        engines {{}}
        train {{}}x
        generate x --pair {{}}x
        device --name {{}}/x
    """.strip().splitlines()
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results")
    store_run(root, examples=3)
    return root


@pytest.fixture
def place(results: Path, tiny_zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYBRID_RESULTS", str(results))
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    monkeypatch.chdir(tmp_path)


PLAN = json.dumps(plain(Plan("file:missing.tsv", task="translate-en-de")), default=plain).encode()


def _one(data: st.DataObject) -> None:
    command = data.draw(st.sampled_from(COMMANDS))
    given = data.draw(mutations(PLAN, lines=False)) if "--plan" in command else b""
    arguments = [
        part.replace("{}", data.draw(st.sampled_from(ODD))) if "{}" in part else part for part in command
    ]
    result = CliRunner().invoke(cli.main, arguments, input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), (arguments, result.exception)
    assert result.exit_code in (0, 1, 2), (arguments, result.output)
    assert "Traceback" not in result.output
    if result.exit_code == 1:
        assert result.stderr.splitlines()[-1].startswith("error: "), arguments


@given(data=st.data())
@settings(max_examples=FEW, deadline=None, derandomize=True, database=None, suppress_health_check=QUIET)
def test_a_command_with_an_odd_value(data: st.DataObject, place: None) -> None:
    _one(data)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@given(data=st.data())
@settings(max_examples=MANY, deadline=None, database=None, suppress_health_check=QUIET)
def test_thousands_of_commands(data: st.DataObject, place: None) -> None:
    _one(data)
