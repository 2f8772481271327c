"""A measurement becomes the command that a person would type, and nothing in it can be an option."""

import pytest

from hybrid.benchmark.jobs import GoOn, Measurement
from hybrid.benchmark.jobs.asked import in_a_shell
from hybrid.cli.bench import bench
from hybrid.errors import HybridError
from hybrid.schema import BASELINE, CPU, Device, System

SAME = (
    "engine", "limit", "repeats", "batch_size", "max_new_tokens", "device", "threads", "seed", "memory",
    "task",
)  # fmt: skip


def parsed(asked: Measurement | GoOn) -> dict[str, object]:
    """What the command understands."""
    name, *arguments = asked.arguments
    return dict(bench.make_context(name, arguments).params)


def test_defaults_are_the_commands_own():
    asked = Measurement("everyday-en-de", "tiny")
    assert asked.arguments == ("bench", "everyday-en-de", "--pair=tiny", "--wait=120")
    understood = parsed(asked)
    assert {name: getattr(asked, name) for name in SAME} == {name: understood[name] for name in SAME}
    assert understood["systems"] == asked.systems
    assert understood["fixed_length"] is None


def test_everything_asked_reaches_the_command():
    asked = Measurement(
        "file:/data/a b.tsv", "my pair", (BASELINE, System("hybrid", "torch")), "onnx-fp32", "summarize",
        7, 2, 3, 64, device=CPU, threads=4, seed=5, memory=False,
    )  # fmt: skip
    understood = parsed(asked)
    assert {name: getattr(asked, name) for name in SAME} == {name: understood[name] for name in SAME}
    assert (understood["suite"], understood["pair"]) == ("file:/data/a b.tsv", "my pair")
    assert understood["systems"] == asked.systems
    assert in_a_shell(asked).startswith("hybrid bench 'file:/data/a b.tsv' '--pair=my pair' ")


def test_a_fixed_length_replaces_the_longest():
    asked = Measurement("briefs-en", "tiny", max_new_tokens=32, fixed_length=True)
    assert parsed(asked)["fixed_length"] == 32
    assert "--max-new-tokens" not in in_a_shell(asked)


def test_a_run_is_gone_on_with():
    asked = GoOn("20261123-014512-made-up-3f9c", "made-up")
    assert parsed(asked)["resume"] == "20261123-014512-made-up-3f9c"
    assert parsed(asked)["suite"] is None
    assert parsed(asked)["memory"] is True
    assert parsed(GoOn("20261123-014512-made-up-3f9c", "made-up", memory=False))["memory"] is False


@pytest.mark.parametrize(
    "suite",
    ["", "gpt", "-h", "--resume=x", "file:", "/etc/passwd", "file:a\nb", "file:a\0b", "file:" + "a" * 999],
)
def test_what_is_no_suite_is_refused(suite):
    with pytest.raises(HybridError, match=r"There is no suite .* Available: everyday-en-de, brief"):
        Measurement(suite, "tiny")


@pytest.mark.parametrize("run_id", ["", "latest/..", "../x", "-h", "a b", "x" * 200])
def test_what_is_no_run_is_refused(run_id):
    with pytest.raises(HybridError, match="is not the id of a run"):
        GoOn(run_id, "made-up")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"systems": ()}, "No system is chosen"),
        ({"systems": (BASELINE, BASELINE)}, "name each one once"),
        ({"systems": (System("llm", "abacus"),)}, "There is no engine 'abacus'"),
        ({"systems": (System("llm", "auto"),)}, "There is no engine 'auto'"),
        ({"systems": (System("hybrid", "ctranslate2"),)}, "has no method hybrid; these have it: torch, onnx"),
        ({"systems": (System("llm", "cuda-graph"),)}, "cuda-graph does not run on cpu; it runs on cuda"),
        ({"engine": "abacus"}, "There is no engine 'abacus'"),
        ({"engine": "onnx", "device": Device("cuda")}, "onnx does not run on cuda"),
        ({"task": "sing"}, "There is no task 'sing'; available: translate-en-de, summarize"),
        ({"pair": ""}, "There is no pair ''"),
        ({"limit": 0}, "limit is 0; it must be from 1"),
        ({"threads": 5000}, "threads is 5000; it must be from 1 to 1024"),
    ],
)
def test_what_the_command_would_refuse_is_refused_first(wrong, said):
    with pytest.raises((HybridError, ValueError), match=said.replace("(", r"\(")):
        Measurement(**({"suite": "briefs-en", "pair": "tiny"} | wrong))
