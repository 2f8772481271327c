"""A profile follows from how an engine behaves, also where that is more crooked than the costs are."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median

import pytest

from hybrid.engines.contract import LoadedSystem
from hybrid.errors import EngineError
from hybrid.measuring.device import Machine
from hybrid.models.arithmetic import attention_width
from hybrid.models.known_shapes import find_shape
from hybrid.models.shapes import Shape
from hybrid.schema import CPU, Device, EncodedPrompt, Sampling, Step, System
from hybrid.sizing import Pair, Profile, Request, error_report, predicted
from hybrid.sizing import calibration as calibrating
from hybrid.sizing.calibration import (
    CalibrationSample,
    CalibrationShape,
    CalibrationSize,
    calibration_grid,
    fastest_engine,
    fitted_costs,
    measured_profile,
)
from hybrid.sizing.grid import measure_cells
from hybrid.store.grids import StoredGrid
from tests.sizing.made_up import grid_of

US = 1e-6
ORDER = {"device": CPU, "dtype": "float32", "threads": 1}
PUBLISHED = ("t5-v1_1-small", "t5-v1_1-base", "t5-v1_1-large", "t5-v1_1-xl")


class MadeUpGpu:
    """Every kernel takes a launch or, when that is longer, its bytes and operations: a crooked law.

    For one answer small matrices go through fewer launches, as in engines that fold them together.
    """

    launch, bandwidth, rate = 2.5 * US, 4e12, 5e14

    def kernel(self, weights: float, rows: float) -> float:
        return max(self.launch, 2 * weights / self.bandwidth) + 2 * weights * rows / self.rate

    def products(self, shape: Shape, rows: float) -> float:
        width, inner, hidden = shape.d_model, attention_width(shape), shape.d_ff
        sizes = (3 * width * inner, width * inner, 2 * width * hidden, width * hidden)
        return sum(self.kernel(size, rows) for size in sizes)

    def encode(self, shape: Shape, batch: int, tokens: int) -> float:
        rows = batch * tokens
        attention = 4 * rows * tokens * attention_width(shape) / 1e14
        small = 6 * self.launch + rows * 20 * shape.d_model / self.bandwidth
        return 30 * US + shape.encoder_layers * (self.products(shape, rows) + attention + small)

    def step(self, shape: Shape, batch: int, past: float) -> float:
        width, inner = shape.d_model, attention_width(shape)
        crossed = 2 * self.kernel(width * inner, batch)
        caches = 4 * past * batch * inner / self.bandwidth
        small = (2 if batch == 1 and width < 1400 else 4) * self.launch + past * 4e-9 + caches
        layer = self.products(shape, batch) + crossed + small
        return 25 * US + shape.decoder_layers * layer + self.kernel(width * shape.vocabulary, batch)

    def prefill(self, shape: Shape, batch: int, tokens: int) -> float:
        weights = 2 * shape.d_model * attention_width(shape) * shape.decoder_layers
        return self.kernel(weights, batch * tokens) + self.step(shape, batch, tokens + 1)

    def seen(self, shape: Shape, visit: CalibrationSize) -> CalibrationSample:
        batch, prompt, steps = visit.batch, visit.prompt, visit.steps
        step = self.step(shape, batch, prompt + 1 + (steps + 1) / 2) if steps else None
        encode, prefill = self.encode(shape, batch, prompt), self.prefill(shape, batch, prompt)
        return CalibrationSample(shape, visit, 1 * US, encode, prefill, step, 1 * US)


def profile_of(seen: Sequence[CalibrationSample], made_up: Callable[..., Profile]) -> Profile:
    encode, prefill, step, _ = fitted_costs(seen)
    nothing = (0.0, 0.0, 0.0)
    machine = Machine(Device("cuda"), "bfloat16", 1, 4e12, ((1e8, 8e12),), ((1.0, 2e12), (4096.0, 5e14)))
    return made_up(
        engine="cuda-graph", device=Device("cuda"), dtype="bfloat16", machine=machine, encode=encode,
        prefill=prefill, step=step, tokenize=nothing, detokenize=nothing,
    )  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("shapes_measured", [4, 6])
def test_a_crooked_gpu_is_predicted(made_up, name: str, shapes_measured: int) -> None:
    gpu, shape = MadeUpGpu(), find_shape(name)
    rungs = calibration_grid(Device("cuda"))[:shapes_measured]
    profile = profile_of([gpu.seen(rung.shape, visit) for rung in rungs for visit in rung.visits], made_up)
    errors = []
    for batch in (1, 8, 32):
        for prompt in (32, 128, 512):
            for output in (16, 256):
                prediction = predicted("llm", Pair(shape, shape), Request(prompt, output, batch), profile)
                truth = gpu.encode(shape, batch, prompt) + gpu.prefill(shape, batch, prompt)
                truth += sum(gpu.step(shape, batch, prompt + 1 + t) for t in range(1, output))
                errors.append(abs(prediction.total_s / truth - 1))
    assert median(errors) < 0.13
    assert max(errors) < 0.25


def test_the_calibration_grid_spans_what_is_published_and_holds_none_of_it() -> None:
    for device in (CPU, Device("cuda")):
        widths = [rung.shape.d_model for rung in calibration_grid(device)]
        assert min(widths) <= 512
        assert not {find_shape(name).d_model for name in PUBLISHED} & set(widths)
        sizes = [(visit.batch, visit.prompt) for rung in calibration_grid(device) for visit in rung.visits]
        assert {(1, 32), (1, 128), (1, 512), (8, 32), (8, 128), (8, 512), (32, 32), (32, 128)} <= set(sizes)
    assert (
        max(rung.shape.d_model for rung in calibration_grid(Device("cuda", 1)))
        > find_shape("t5-v1_1-xl").d_model
    )


class MadeUpEngine:
    """Each phase takes whole seconds, a decoded token one. told: the phases that it tells apart.

    Its own codec, too, for which a second and two pass.
    """

    eos_ids = (1,)

    def synchronize(self) -> None:
        """It works by itself: that the process does nothing meanwhile is no disturbance."""

    def __init__(self, phases: Sequence[str]) -> None:
        self.phases, self.now, self.lengths, self.rows = phases, 0.0, list[int](), 0

    def loaded(self) -> LoadedSystem:
        return LoadedSystem(system=System("slm"), engine=self, codec=self)

    def encode(self, task: str, texts: Sequence[str], truncate: bool = False) -> tuple[EncodedPrompt, ...]:
        self.now += 1
        self.rows = len(texts)
        return (EncodedPrompt((3,)),) * len(texts)

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        count, batch = sampling.max_new_tokens, len(prompts)
        self.lengths.append(count)
        ids = {"prefill": 1, "decode": count - 1}
        unreported = 0
        for phase, seconds in (("encode", 10), ("prefill", 4), ("decode", count - 1)):
            self.now += seconds
            if phase not in self.phases and not (phase == "decode" and count == 1):
                unreported += ids.get(phase, 0)
                continue
            new = unreported + ids.get(phase, 0)
            if new or phase not in ids:
                yield Step(phase, ((5,) * new,) * batch if new else ())

    def decode(self, ids: Sequence[int]) -> str:
        self.now += 2 / self.rows
        return ""


@pytest.mark.parametrize(
    ("phases", "encode", "prefill"),
    [
        (("encode", "prefill", "decode"), 10, 4),
        (("encode", "decode"), 10, 4),
        (("decode",), 13, 1),  # reading holds all of prefill but a step
    ],
)
def test_what_is_seen_of_an_engine(shapes, phases: Sequence[str], encode: float, prefill: float) -> None:
    engine, visit = MadeUpEngine(phases), CalibrationSize(2, 8, 6)
    sample = calibrating._seen(
        shapes("any", 64, 64, 1, 1), visit, engine.loaded(), lambda: engine.now, cold=True
    )
    assert (sample.encode, sample.prefill, sample.step) == (encode, prefill, 1)
    assert (sample.tokenize, sample.detokenize) == (1, 2)
    assert engine.lengths[:2] == [7, 7]


def test_a_size_that_is_only_read(shapes) -> None:
    engine = MadeUpEngine(("encode", "prefill", "decode"))
    sample = calibrating._seen(
        shapes("any", 64, 64, 1, 1), CalibrationSize(1, 8, 0), engine.loaded(), lambda: engine.now, cold=False
    )
    assert (sample.encode, sample.prefill, sample.step) == (10, 4, None)
    assert set(engine.lengths) == {1}
    engine = MadeUpEngine(("decode",))
    sample = calibrating._seen(
        shapes("any", 64, 64, 1, 1), CalibrationSize(1, 8, 0), engine.loaded(), lambda: engine.now, cold=False
    )
    assert (sample.encode, sample.prefill, sample.step) == (14, None, None)


@pytest.fixture
def short_calibration(monkeypatch: pytest.MonkeyPatch, shapes) -> None:
    """Three tiny shapes, and a machine that needs no measuring."""
    visits = (CalibrationSize(1, 8, 4), CalibrationSize(2, 8, 4), CalibrationSize(1, 16, 0))
    rungs = [CalibrationShape(shapes(f"rung-{n}", 64 * n, 128 * n, n, 2, 600), visits) for n in (1, 2, 3)]
    monkeypatch.setattr(calibrating, "calibration_grid", lambda _: rungs)
    monkeypatch.setattr(calibrating, "MOST_REPEATS", 1)
    machine = Machine(CPU, "float32", 1, 1e10, ((1e6, 2e10),), ((1.0, 5e9), (512.0, 5e10)))
    monkeypatch.setattr(calibrating, "measure_machine", lambda *_: machine)


@pytest.mark.usefixtures("short_calibration")
def test_a_profile_of_this_machine(pair: Pair) -> None:
    sentences: list[str] = []
    profile = measured_profile("here", "torch", ORDER, lambda event: sentences.append(event.sentence))
    assert (profile.name, profile.engine, profile.shapes) == ("here", "torch", 3)
    assert [(costs.batch, costs.tokens) for costs in profile.encode] == [(1, 8), (1, 16), (2, 8)]
    assert [(costs.batch, costs.tokens) for costs in profile.step] == [(1, 0), (2, 0)]
    assert sentences[0] == "Measuring torch on models of 64 columns, 1 of 3"
    assert profile.cpu_share is not None
    assert 0 < profile.cpu_share < 4
    assert profile.environment.hardware.known
    prediction = predicted("llm", pair, Request(16, 8), profile)
    assert min(prediction.phases.values()) > 0
    assert prediction.total_s > predicted("slm", pair, Request(16, 8), profile).total_s


@pytest.mark.usefixtures("short_calibration")
def test_when_time_is_over_the_rest_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrating, "BUDGET_S", 0.0)
    monkeypatch.setattr(calibrating, "LEAST_SHAPES", 2)
    assert measured_profile("here", "torch", ORDER).shapes == 2


@pytest.mark.usefixtures("short_calibration")
def test_engines_that_do_not_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.engines.onnx.engine.unavailable_reason", lambda _: "It is not installed.")
    sentences: list[str] = []
    assert fastest_engine(ORDER | {"dtype": ""}, lambda event: sentences.append(event.sentence)) == "torch"
    assert sentences == ["Not the engine onnx: It is not installed."]  # of onnx-fp32, too
    with pytest.raises(EngineError, match=r"It is not installed\."):
        measured_profile("here", "onnx", ORDER | {"dtype": "int8"})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_predictions_of_shapes_that_were_not_measured() -> None:
    """The bars: a profile in 30 s, and of requests half within 15 % and nine tenths within 35 %."""
    begun = time.perf_counter()
    profile = measured_profile("here", "torch", ORDER)
    took_s = time.perf_counter() - begun
    pair = Pair(find_shape("t5-v1_1-small"), find_shape("bundled-slm"))
    grid = grid_of(pair, profile, prompts=(32, 128), outputs=(16, 64), repeats=3)
    cells = [
        cell for cells in measure_cells(replace(grid, methods=("llm", "slm", "hybrid"))) for cell in cells
    ]
    report = error_report(StoredGrid(grid, tuple(cells), ()), profile)
    assert report is not None
    print(f"{took_s:.1f} s; {report}")  # noqa: T201  # figures for whoever runs it
    assert took_s < 30
    assert report.total.median <= 0.15
    assert report.total.p90 <= 0.35
