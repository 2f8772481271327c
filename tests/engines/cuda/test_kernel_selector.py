"""Kernels of steps or passes that fail, or compute something else, are given up with the reason."""

import sys
from types import SimpleNamespace

import pytest
import torch

from hybrid.engines.cuda import kernel_selector
from hybrid.engines.cuda.buffers import DecodeBuffers, PromptBuffers
from hybrid.engines.cuda.eager_decoder import EagerDecodeStep
from hybrid.engines.cuda.kernel_selector import KernelSelector, example_rows
from hybrid.engines.cuda.weights import Target, pack_decoder
from hybrid.models.architectures import decoder_of

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tiny_bundle):
    return pack_decoder(decoder_of(tiny_bundle.slm), Target(CPU, torch.float32), 96)


@pytest.fixture
def buffers(weights) -> DecodeBuffers:
    return DecodeBuffers(weights, PromptBuffers(2, 32, CPU), 64)


class Scaled:
    """A step whose logits are those of the eager one times `factor`."""

    def __init__(self, weights, buffers, factor: float) -> None:
        self._step, self._logits, self._factor = EagerDecodeStep(weights, buffers), buffers.logits, factor

    def __call__(self) -> None:
        self._step()
        self._logits.mul_(self._factor)


def test_without_a_gpu_torch_computes_steps(weights, buffers):
    sentences = []
    selector = KernelSelector(weights, sentences.append)
    assert selector.kernel == "torch"
    assert isinstance(selector.first(buffers), EagerDecodeStep)
    assert sentences == []


def test_a_way_that_agrees_is_taken(weights, buffers, monkeypatch):
    sentences, fused = [], Scaled(weights, buffers, 1.0001)
    monkeypatch.setattr(KernelSelector, "_triton", lambda *_: fused)
    selector = KernelSelector(weights, sentences.append, "triton-pdl")
    assert selector.first(buffers) is fused
    assert (selector.kernel, sentences) == ("triton-pdl", [])


@pytest.mark.parametrize(("factor", "error"), [(1.5, "0.5 of"), (float("nan"), "inf of"), (0.0, "1 of")])
def test_a_way_that_computes_something_else_is_given_up(weights, buffers, monkeypatch, factor, error):
    heard = []
    monkeypatch.setattr(KernelSelector, "_triton", lambda *_: Scaled(weights, buffers, factor))
    selector = KernelSelector(weights, heard.append, "triton")
    assert isinstance(selector.first(buffers), EagerDecodeStep)
    assert selector.kernel == "torch"
    (sentence,) = heard
    assert f"torch kernels in place of triton: its logits are off by {error}" in sentence
    assert buffers.self_kv_cache.isfinite().all()


def test_kernels_that_fail_are_given_up_one_after_another_and_for_good(weights, buffers, monkeypatch):
    heard, tried = [], []

    def fail(selector, *_):
        tried.append(selector.kernel)
        raise ValueError("no compiler\nwas found" if selector.kernel == "triton" else "not on this GPU")

    monkeypatch.setattr(KernelSelector, "_triton", fail)
    selector = KernelSelector(weights, heard.append, "triton-pdl")
    for _ in range(2):
        assert isinstance(selector.first(buffers), EagerDecodeStep)
    assert tried == ["triton-pdl", "triton"]
    assert heard == [
        "Decode steps run with triton kernels in place of triton-pdl: ValueError: not on this GPU.",
        "Decode steps run with torch kernels in place of triton: ValueError: no compiler.",
    ]


class Watch:
    """A capturer that only says how long each kind of step takes."""

    def __init__(self, seconds: dict[object, float]) -> None:
        self.seconds_of, self.asked = seconds, 0

    def seconds(self, work, restart) -> float:
        self.asked += 1
        restart()
        return self.seconds_of[type(work)]


def test_several_answers_take_what_is_fastest_here_and_it_is_timed_once(weights, buffers, monkeypatch):
    monkeypatch.setattr(KernelSelector, "_triton", lambda *_: Scaled(weights, buffers, 1.0001))
    selector = KernelSelector(weights, print)
    selector._kernels = ["triton-pdl", "torch"]
    watch = Watch({Scaled: 2.0, EagerDecodeStep: 1.0})
    assert len(buffers.inputs) > 1
    for _ in range(2):
        assert isinstance(selector.fastest(buffers, watch), EagerDecodeStep)
    assert watch.asked == 2
    assert selector.used == f"triton-pdl, torch for batches of {len(buffers.inputs)}"
    watch.seconds_of[EagerDecodeStep] = 3.0
    another = KernelSelector(weights, print)
    another._kernels = ["triton-pdl", "torch"]
    assert isinstance(another.fastest(buffers, watch), Scaled)
    assert another.used == "triton-pdl"


class Clock:
    """A capturer that only says how long each pass takes, one after another."""

    def __init__(self, *seconds: float) -> None:
        self._seconds = iter(seconds)

    def seconds(self, work, restart) -> float:
        work()
        return next(self._seconds)


def fused_layers(monkeypatch, factor: float) -> list[int]:
    """Let Triton's layers give the rows times `factor`, and leave that in the caches; the rows of each."""
    tried = []

    class Layers:
        def __init__(self, stack, caches, rows, early) -> None:
            tried.append(rows)
            self._cache = caches.self_kv_cache

        def __call__(self, rows):
            self._cache.fill_(factor)
            return rows * factor

    module = SimpleNamespace(TritonLayers=Layers)
    monkeypatch.setitem(sys.modules, "hybrid.engines.cuda.triton_step", module)
    return tried


def unchanged(rows: torch.Tensor) -> torch.Tensor:
    return rows


@pytest.mark.parametrize(("factor", "error"), [(1.5, "0.5 of"), (float("nan"), "inf of")])
def test_passes_that_compute_something_else_are_given_up_for_good(
    weights, buffers, monkeypatch, factor, error
):
    heard, tried = [], fused_layers(monkeypatch, factor)
    selector, start = KernelSelector(weights, heard.append, "triton"), torch.zeros_like(buffers.positions)
    for tokens in (6, 4):
        rows = example_rows(weights, tokens)
        caches = buffers.caches_at(start, start)
        assert selector.fastest_pass(weights, caches, unchanged, rows, Clock()) is unchanged
    assert tried == [6]
    (sentence,) = heard
    assert f"torch kernels in place of triton: its rows are off by {error}" in sentence
    assert selector.used == "triton, torch for passes of 4, 6 tokens"
    assert buffers.self_kv_cache.isfinite().all()


@pytest.mark.parametrize(
    ("seconds", "used"), [((1.0, 2.0), "triton, torch for passes of 6 tokens"), ((2.0, 1.0), "triton")]
)
def test_a_pass_takes_what_is_faster(weights, buffers, monkeypatch, seconds, used):
    fused_layers(monkeypatch, 1.0001)
    selector, start = KernelSelector(weights, print), torch.zeros_like(buffers.positions)
    selector._kernels = ["triton", "torch"]
    rows, caches = example_rows(weights, 6), buffers.caches_at(start, start)
    run = selector.fastest_pass(weights, caches, unchanged, rows, Clock(*seconds))
    assert (run is unchanged, selector.used) == (seconds[0] < seconds[1], used)


def test_too_little_memory_is_no_reason_to_give_a_way_up(weights, buffers, monkeypatch):
    def fail(*_):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(KernelSelector, "_triton", fail)
    selector = KernelSelector(weights, print, "triton")
    with pytest.raises(torch.OutOfMemoryError):
        selector.first(buffers)
    assert selector.kernel == "triton"


@pytest.mark.parametrize(
    ("capability", "triton", "kernel"),
    [
        ((9, 0), True, "triton-pdl"),
        ((10, 0), True, "triton-pdl"),
        ((8, 0), True, "triton"),
        ((9, 0), False, "torch"),
    ],
)
def test_what_is_tried_first_on_a_gpu(monkeypatch, capability, triton, kernel):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(kernel_selector, "find_spec", lambda _: object() if triton else None)
    assert kernel_selector._available(torch.device("cuda"))[0] == kernel
    assert kernel_selector._available(torch.device("cuda"))[-1] == "torch"
