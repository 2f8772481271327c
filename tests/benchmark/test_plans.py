"""A Plan survives its file and its command line; what is wrong with one is said before anything is read."""

import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybrid.benchmark.plan_options import bench_command, plan_arguments, plan_of_options
from hybrid.benchmark.plans import check_plan, check_suite_name, decode_plan, encode_plan, load_plan
from hybrid.cli.bench import bench
from hybrid.engines.registry import DTYPES, ENGINES, OPTIONS
from hybrid.errors import EngineError, PairError, PlanError, SuiteError
from hybrid.schema import METHODS, TASKS, Device, Plan, Sampling, System
from hybrid.store import load_run
from hybrid.suites import load_suite
from tests.any_machine import STEADY

RESULTS = Path(__file__).parents[2] / "results"
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
COLUMN = NAMES.filter(lambda text: text.strip() == text and not set(text) & set("=,"))
PLANS = st.builds(
    Plan,
    suite=NAMES.map("file:{}".format),
    task=st.sampled_from(["", *TASKS]),
    pair=NAMES,
    systems=st.sets(st.sampled_from([System(name) for name in METHODS]), min_size=1).map(
        lambda systems: tuple(sorted(systems, key=list(METHODS).index))
    ),
    engine=st.sampled_from(["auto", *ENGINES]),
    device=st.sampled_from([Device("cpu"), Device("cuda"), Device("cuda", 3)]),
    dtype=st.sampled_from(["", *DTYPES]),
    threads=st.integers(1, 1024),
    batch_size=st.integers(1, 4096),
    repeats=st.integers(1, 1000),
    blocks=st.integers(1, 100),
    limit=st.none() | st.integers(1, 10**9),
    seed=st.integers(-(2**31), 2**31),
    sampling=st.builds(Sampling, st.integers(1, 4096), st.booleans(), st.booleans()),
    engine_options=st.dictionaries(st.sampled_from(list(OPTIONS)), st.sampled_from(["on", "off"])),
    columns=st.dictionaries(st.sampled_from(["source", "reference", "id"]), COLUMN),
    memory=st.booleans(),
)


def parsed(command: str) -> Plan:
    """The plan that `hybrid bench` takes from a command line."""
    name, sub, *arguments = shlex.split(command)
    assert (name, sub) == ("hybrid", "bench")
    with bench.make_context("bench", arguments) as context:
        options = dict(context.params)
        suite = options.pop("suite")
        for other in ("plan", "resume", "events", "wait"):
            options.pop(other)
        return plan_of_options(suite, options)


@STEADY
@given(PLANS)
def test_a_plan_survives_its_command_line(plan: Plan):
    assert parsed(bench_command(plan)) == plan


@STEADY
@given(PLANS, st.text(max_size=8))
def test_a_plan_survives_its_file(plan: Plan, content_hash: str):
    plan = replace(plan, suite_hash=content_hash)
    assert decode_plan(encode_plan(plan)) == plan


def test_what_goes_without_saying_is_left_out():
    assert plan_arguments(Plan("everyday-en-de", pair="tiny")) == ("everyday-en-de", "--pair=tiny")
    fixed = Plan("briefs-en", sampling=Sampling(32, ignore_eos=True, truncate=True))
    assert plan_arguments(fixed) == ("briefs-en", "--fixed-length=32")


@pytest.mark.parametrize(
    "plan",
    [
        Plan("-x", pair="--help"),
        Plan("$(touch /tmp/x)`id`\n"),
        Plan("a; rm -rf ~", pair="$(id)"),
        Plan("file:x.tsv", columns={"source": "a, the first", "reference": "b"}),
    ],
)
def test_no_name_becomes_an_option_or_a_command(plan: Plan):
    assert parsed(bench_command(plan)) == plan


def test_a_wrong_command_would_be_noticed():
    with pytest.raises(click.ClickException):
        parsed("hybrid bench --batch-size none x")


# stored runs


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*/run.json")), ids=lambda path: path.parent.name)
def test_every_stored_run_can_be_redone(path: Path):
    plan, row = load_plan(path), json.loads(path.read_text("utf-8"))["plan"]
    assert (plan.suite_hash, plan.dtype) == (row["suite_hash"], row["dtype"])
    assert plan.suite == load_run(path.parent.name, RESULTS).run.plan.suite  # both with its version
    assert plan.suite.partition("@")[0] == row["suite"].partition("@")[0]
    assert load_suite(plan.suite).content_hash == plan.suite_hash
    assert plan.blocks == row.get("blocks", 1)
    assert parsed(bench_command(plan)) == replace(plan, suite_hash="", task="")


# files


def test_a_plan_by_hand_may_be_toml_and_short(tmp_path: Path):
    (tmp_path / "plan.toml").write_text('suite = "briefs-en"\nlimit = 3\n[sampling]\nmax_new_tokens = 9\n')
    plan = load_plan(tmp_path / "plan.toml")
    assert plan == Plan("briefs-en", limit=3, sampling=Sampling(9, truncate=True))
    assert tomllib.loads((tmp_path / "plan.toml").read_text())["suite"] == plan.suite


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"suite": "x", "batchsize": 2}, "'batchsize'"),
        ({"suite": "x", "sampling": {"tokens": 2}}, "'sampling.tokens'"),
        ({"limit": 2}, "suite"),
        ({"suite": "x", "limit": "2"}, "$.limit"),
        ({"suite": "x", "limit": 0}, "limit is 0"),
        ({"suite": "x", "systems": ["gpt"]}, "'gpt'"),
        ({"suite": "x", "systems": ["llm", "llm"]}, "llm, llm"),
        ({"suite": "x", "systems": [3]}, "3"),
        ({"suite": "x", "device": "tpu"}, "'tpu'"),
        ({"schema": 9, "plan": {"suite": "x"}}, "schema 9"),
        ({"schema": "1", "suite": "x"}, "'1'"),
        ({"plan": 3}, "3"),
    ],
)
def test_a_plan_file_that_is_wrong_is_refused(data: dict[str, Any], value: str):
    with pytest.raises(PlanError) as caught:
        decode_plan(json.dumps(data).encode(), "a.json")
    assert value in str(caught.value)
    assert str(caught.value).startswith("a.json ")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"{" * 10**5, b"suite = "])
def test_bytes_that_are_no_plan_are_refused(data: bytes):
    with pytest.raises(PlanError):
        decode_plan(data)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(PlanError, match="No such file"):
        load_plan(tmp_path / "none.json")


# before anything is read


@pytest.mark.parametrize(
    "suite",
    ["", "gpt", "-h", "--resume=x", "file:", "/etc/passwd", "file:a\nb", "file:a\0b", "file:" + "a" * 999],
)
def test_what_is_no_suite_is_refused(suite: str):
    with pytest.raises(SuiteError):
        check_suite_name(suite)


@pytest.mark.parametrize(
    ("wrong", "error", "value"),
    [
        ({"systems": (System("llm", "abacus"),)}, EngineError, "'abacus'"),
        ({"systems": (System("llm", "auto"),)}, EngineError, "'auto'"),
        ({"systems": (System("hybrid", "ctranslate2"),)}, EngineError, "hybrid"),
        ({"systems": (System("llm", "cuda-graph"),)}, EngineError, "cuda-graph"),
        ({"engine": "abacus"}, EngineError, "'abacus'"),
        ({"engine": "onnx", "device": Device("cuda")}, EngineError, "cuda"),
        ({"task": "sing it"}, SuiteError, "'sing it'"),
        ({"pair": "a\nb"}, PairError, "a\\nb"),
        ({"threads": 5000}, PlanError, "5000"),
        ({"batch_size": 5000}, PlanError, "5000"),
        ({"sampling": Sampling(5000)}, PlanError, "5000"),
    ],
)
def test_what_cannot_be_measured_is_refused_first(wrong: dict[str, Any], error: type[Exception], value: str):
    with pytest.raises(error) as caught:
        check_plan(Plan(**({"suite": "briefs-en"} | wrong)))
    assert value in str(caught.value)
