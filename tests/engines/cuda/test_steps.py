"""A way of computing steps that fails, or computes something else, is given up with the reason."""

import pytest
import torch

from hybrid.engines.cuda import steps
from hybrid.engines.cuda.buffers import Buffers
from hybrid.engines.cuda.plain_step import PlainStep
from hybrid.engines.cuda.reading import Prompts
from hybrid.engines.cuda.steps import Steps
from hybrid.engines.cuda.weights import pack_decoder
from hybrid.engines.t5_layers import Target

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tiny_bundle):
    return pack_decoder(tiny_bundle.slm, Target(CPU, torch.float32), 64)


@pytest.fixture
def buffers(weights) -> Buffers:
    return Buffers(weights, Prompts(2, 32, CPU), 64)


class Scaled:
    """A step whose logits are those of the plain one times `factor`."""

    def __init__(self, weights, buffers, factor: float) -> None:
        self._step, self._logits, self._factor = PlainStep(weights, buffers), buffers.logits, factor

    def __call__(self) -> None:
        self._step()
        self._logits.mul_(self._factor)


def test_without_a_gpu_torch_computes_steps(weights, buffers):
    said = []
    made = Steps(weights, said.append)
    assert made.way == "torch"
    assert isinstance(made.make(buffers), PlainStep)
    assert said == []


def test_a_way_that_agrees_is_taken(weights, buffers, monkeypatch):
    said, fused = [], Scaled(weights, buffers, 1.0001)
    monkeypatch.setattr(Steps, "_fused", lambda *_: fused)
    made = Steps(weights, said.append, "triton-pdl")
    assert made.make(buffers) is fused
    assert (made.way, said) == ("triton-pdl", [])


@pytest.mark.parametrize(("factor", "said"), [(1.5, "0.5 of"), (float("nan"), "inf of"), (0.0, "1 of")])
def test_a_way_that_computes_something_else_is_given_up(weights, buffers, monkeypatch, factor, said):
    heard = []
    monkeypatch.setattr(Steps, "_fused", lambda *_: Scaled(weights, buffers, factor))
    made = Steps(weights, heard.append, "triton")
    assert isinstance(made.make(buffers), PlainStep)
    assert made.way == "torch"
    (sentence,) = heard
    assert f"torch kernels in place of triton: its logits are off by {said}" in sentence
    assert buffers.own.isfinite().all()


def test_ways_that_fail_are_given_up_one_after_another_and_for_good(weights, buffers, monkeypatch):
    heard, tried = [], []

    def fail(made, *_):
        tried.append(made.way)
        raise ValueError("no compiler\nwas found" if made.way == "triton" else "not on this GPU")

    monkeypatch.setattr(Steps, "_fused", fail)
    made = Steps(weights, heard.append, "triton-pdl")
    for _ in range(2):
        assert isinstance(made.make(buffers), PlainStep)
    assert tried == ["triton-pdl", "triton"]
    assert heard == [
        "Decode steps run with triton kernels in place of triton-pdl: ValueError: not on this GPU.",
        "Decode steps run with torch kernels in place of triton: ValueError: no compiler.",
    ]


class Watch:
    """A recorder that only says how long each kind of step takes."""

    def __init__(self, seconds: dict[object, float]) -> None:
        self.seconds_of, self.asked = seconds, 0

    def seconds(self, work, restart) -> float:
        self.asked += 1
        restart()
        return self.seconds_of[type(work)]


def test_several_answers_take_what_is_fastest_here_and_it_is_timed_once(weights, buffers, monkeypatch):
    monkeypatch.setattr(Steps, "_fused", lambda *_: Scaled(weights, buffers, 1.0001))
    made = Steps(weights, print)
    made._ways = ["triton-pdl", "torch"]
    watch = Watch({Scaled: 2.0, PlainStep: 1.0})
    assert len(buffers.rows) > 1
    for _ in range(2):
        assert isinstance(made.fastest(buffers, watch), PlainStep)
    assert watch.asked == 2
    assert made.used == f"triton-pdl, torch for batches of {len(buffers.rows)}"
    watch.seconds_of[PlainStep] = 3.0
    another = Steps(weights, print)
    another._ways = ["triton-pdl", "torch"]
    assert isinstance(another.fastest(buffers, watch), Scaled)
    assert another.used == "triton-pdl"


def test_too_little_memory_is_no_reason_to_give_a_way_up(weights, buffers, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(Steps, "_fused", fail)
    made = Steps(weights, print, "triton")
    with pytest.raises(torch.OutOfMemoryError):
        made.make(buffers)
    assert made.way == "triton"


@pytest.mark.parametrize(
    ("capability", "triton", "way"),
    [
        ((9, 0), True, "triton-pdl"),
        ((10, 0), True, "triton-pdl"),
        ((8, 0), True, "triton"),
        ((9, 0), False, "torch"),
    ],
)
def test_what_is_tried_first_on_a_gpu(monkeypatch, capability, triton, way):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(steps, "find_spec", lambda _: object() if triton else None)
    assert steps._possible(torch.device("cuda"))[0] == way
    assert steps._possible(torch.device("cuda"))[-1] == "torch"
