"""What `hybrid latency` refuses, and how it says so."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import Result

from hybrid.measuring.lock import measuring
from hybrid.sizing import grid as latency
from hybrid.store.grids import list_grids

PAIR = ("--llm", "bundled-llm", "--slm", "bundled-slm")
SMALL = (*PAIR, "--engine", "torch", "--prompt", "8", "--output", "4", "--repeats", "2")
Refusal = Callable[[Result, int], str]


def test_what_does_not_fit_is_refused_with_both_numbers(
    measure: Callable[..., Result], refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hybrid.sizing.run.free_bytes", lambda _: 9_000_000_000)
    result = measure("--llm", "t5-11b", "--slm", "t5-small", "--engine", "torch")
    assert re.match(
        r"error: t5-11b with t5-small needs about 1\d\d\.\d GB of memory and 9\.0 GB are free on cpu",
        refusal(result, 1),
    )
    assert list_grids().grids == ()


def test_only_one_measurement_at_a_time(measure: Callable[..., Result], refusal: Refusal) -> None:
    with measuring("another", "suite"):
        assert "Another measurement is running" in refusal(measure(*SMALL), 1)
    assert list_grids().grids == ()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Missing option '--llm' or '--slm'"),
        (("--llm", "t5-base"), "Missing option '--llm' or '--slm'"),
        (("--llm", " , ", "--slm", "t5-small"), "no model is named"),
        ((*PAIR, "--prompt", "2"), "'2' is not a whole number from 3"),
        ((*PAIR, "--output", "4,x"), "'x' is not a whole number from 1"),
        ((*PAIR, "--batch", ","), "',' is not a whole number from 1"),
        ((*PAIR, "--methods", "llm,magic"), "there is no method 'magic'; available: llm"),
        ((*PAIR, "--time-limit", "nan"), "nan is not a finite number"),
        ((*PAIR, "--resume", "latest"), "leave out --llm, --slm"),
    ],
)
def test_wrong_usage(
    measure: Callable[..., Result], refusal: Refusal, arguments: tuple[str, ...], sentence: str
) -> None:
    assert sentence in refusal(measure(*arguments), 2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--llm", "t5-lrge", "--slm", "t5-small"), "There is no shape 't5-lrge'. Did you mean t5-large"),
        (("--resume", "latest"), "There are no grids in"),
        (("--resume", "../x"), "'../x' is not the id of a grid"),
        (
            (*SMALL[:-4], "--methods", "llm", "--llm", "bart-base", "--output", "1025"),
            "bart-base has positions for 1024",
        ),
        ((*SMALL, "--dtype", "int8"), "int8"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    measure: Callable[..., Result], refusal: Refusal, arguments: tuple[str, ...], sentence: str
) -> None:
    output = refusal(measure(*arguments), 1)
    assert sentence in output
    assert output.splitlines()[-1].startswith("error: ")
    assert list_grids().grids == ()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("engine", ["auto", "torch"])
def test_a_gpu_that_is_not_there(measure: Callable[..., Result], refusal: Refusal, engine: str) -> None:
    output = refusal(measure(*PAIR, "--device", "cuda", "--engine", engine), 1)
    assert output.splitlines()[-1].startswith("error: ")
    assert "cuda" in output.splitlines()[-1]


def test_help_needs_no_torch(measure: Callable[..., Result]) -> None:
    code = "import sys, hybrid.sizing.run, hybrid.cli.latency_report; print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(latency.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "False"
