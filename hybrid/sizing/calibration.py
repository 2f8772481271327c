"""A profile measured by running the engine itself on small models with random weights.

Every shape of the calibration_grid reads and writes at a few sizes; from the times of all
of them follows what each kind of work costs. Where an engine does not tell its
first token from the others, answers of a single token are measured besides.

None of the shapes is published, all together span those that are. Layers are few, since
more of them cost the same each, and widths are many, since that is what costs change
with. On a CPU small ones stand closer: there it matters how much of a model fits the caches.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid.engines.contract import EngineConfig, LoadedSystem
from hybrid.engines.registry import best_engines, create_engines, spec_of
from hybrid.measuring import settled_heap
from hybrid.measuring.answers import undisturbed_answers
from hybrid.measuring.device import measure_machine
from hybrid.measuring.environment import environment
from hybrid.models.arithmetic import QUANTIZED
from hybrid.models.shapes import Shape, shape_of_config
from hybrid.schema import Device, Observer, Sampling, Status, System, Timing, silent
from hybrid.sizing.cost_features import SHARED, cross_features, encode_features, step_features
from hybrid.sizing.costs import Costs, Sample, Terms, fitted, nonnegative
from hybrid.sizing.profile import Profile

if TYPE_CHECKING:
    from hybrid.models.random_pair import RandomSource

METHOD = "slm"
HEAD_WIDTH = 64
VOCABULARY = 512  # ids in prompts and answers: every word of them is made up first
BUDGET_S = 21.0  # after which no further shape is measured
LEAST_SHAPES = 4
REPEATS, MOST_REPEATS = 3, 9
ENOUGH_S, SHORT_S = (
    0.45,
    0.1,
)  # of answers after which a size is not repeated: at all; more than REPEATS times
Clock = Callable[[], float]


@dataclass(frozen=True)
class CalibrationSize:
    """One size at which a shape is measured. steps: tokens decoded after the first, 0 to read only."""

    batch: int
    prompt: int
    steps: int


@dataclass(frozen=True)
class CalibrationShape:
    """One shape and where it is measured."""

    shape: Shape
    visits: tuple[CalibrationSize, ...]


@dataclass(frozen=True)
class CalibrationSample:
    """Seconds of one shape at one size. prefill, step: None when they are not known.

    step: of each token after the first.
    """

    shape: Shape
    visit: CalibrationSize
    tokenize: float
    encode: float
    prefill: float | None
    step: float | None
    detokenize: float


def measured_profile(
    name: str,
    engine: str,
    order: Mapping[str, Any],
    observer: Observer = silent,
    clock: Clock = time.perf_counter,
) -> Profile:
    """Measure the device and the engine on it; takes half a minute at the most.

    order: the fields of Order but its source and methods. Raises EngineError
    when the engine cannot run here.
    """
    begun, begun_cpu = clock(), time.process_time()
    device, dtype, threads = Device.parse(order["device"]), str(order["dtype"]), int(order["threads"])
    rungs = calibration_grid(device)
    seen: list[CalibrationSample] = []
    for index, rung in enumerate(rungs):
        if index >= LEAST_SHAPES and clock() - begun > BUDGET_S:
            break
        where = f"{rung.shape.d_model} columns, {index + 1} of {len(rungs)}"
        observer(Status(sentence=f"Measuring {engine} on models of {where}"))
        seen += _climbed(rung, engine, order, clock)
    observer(Status(sentence=f"Measuring memory and arithmetic of {device}"))
    machine = measure_machine(device, dtype, threads)
    encode, prefill, step, error = fitted_costs(seen)
    took_s = clock() - begun
    share = (time.process_time() - begun_cpu) / took_s if device.kind == "cpu" and took_s else None
    return Profile(
        name=name, engine=engine, device=device, dtype=dtype, threads=threads, machine=machine,
        environment=environment(device, "", spec_of(engine).packages),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        encode=encode, prefill=prefill, step=step,
        tokenize=_per_token([(sample.visit, sample.visit.prompt, sample.tokenize) for sample in seen]),
        detokenize=_per_token([(sample.visit, 1 + sample.visit.steps, sample.detokenize) for sample in seen]),
        fit_error=error, shapes=len({sample.shape.name for sample in seen}), took_s=took_s,
        options=dict(order.get("options", {})), cpu_share=share,
    )  # fmt: skip


def fastest_engine(order: Mapping[str, Any], observer: Observer = silent) -> str:
    """Name the fastest engine that runs T5 here. The observer is told of faster ones that do not."""
    source = source_of(calibration_grid(Device.parse(order["device"]))[0], order)
    return best_engines(EngineConfig(source, (METHOD,), **order, observer=observer))[0]


def calibration_grid(device: Device) -> tuple[CalibrationShape, ...]:
    """Return what is measured on a device, in this order: when time is short, the last ones are left out."""
    return _CPU if device.kind == "cpu" else _GPU


def fitted_costs(
    seen: Sequence[CalibrationSample],
) -> tuple[tuple[Costs, ...], tuple[Costs, ...], tuple[Costs, ...], float]:
    """Costs of encoding, of prefill beyond its step, and of steps; median error of their fit."""
    reading, beyond = [], []
    steps = [
        Sample((sample.visit.batch, 0), _middle_step(sample), sample.step, sample.step)
        for sample in seen
        if sample.step is not None
    ]
    step = fitted(steps)
    for sample in seen:
        size = sample.visit.batch, sample.visit.prompt
        reading.append(Sample(size, encode_features(sample.shape, *size), sample.encode, sample.encode))
        if sample.prefill is None:
            continue
        nearest = min(step, key=lambda costs: abs(costs.batch - size[0]))
        first = nearest.of(step_features(sample.shape, sample.visit.prompt + 1))
        beyond.append(
            Sample(size, cross_features(sample.shape, *size), sample.prefill - first, sample.prefill)
        )
    encode = fitted(reading, SHARED)
    error = median([*_errors(reading, encode), *_errors(steps, step)])
    return encode, fitted(beyond, SHARED), step, error


def _middle_step(sample: CalibrationSample) -> Terms:
    """Of the step in the middle of those after the first, whose time is their mean."""
    return step_features(sample.shape, sample.visit.prompt + 1 + (sample.visit.steps + 1) / 2)


def _errors(samples: Sequence[Sample], costs: Sequence[Costs]) -> list[float]:
    """Absolute relative errors of the costs."""
    of_size = {(cost.batch, cost.tokens): cost for cost in costs}
    return [abs(of_size[sample.size].of(sample.terms) / sample.seconds - 1) for sample in samples]


def _climbed(
    rung: CalibrationShape, engine: str, order: Mapping[str, Any], clock: Clock
) -> list[CalibrationSample]:
    """Measure one shape at each of its sizes."""
    source = source_of(rung, order)
    (ready,) = create_engines(engine, EngineConfig(source, (METHOD,), **order)).values()
    loaded = LoadedSystem(system=System(METHOD), engine=ready, codec=source.codec(METHOD))
    every = Device.parse(order["device"]).kind != "cpu"  # a GPU engine prepares for each size
    with settled_heap():
        return [
            _seen(rung.shape, visit, loaded, clock, cold=every or not index)
            for index, visit in enumerate(rung.visits)
        ]


def source_of(rung: CalibrationShape, order: Mapping[str, Any], slm: Shape | None = None) -> "RandomSource":
    """Random models of a shape, for the longest prompt that it is measured with. slm: the same when None."""
    import torch

    from hybrid.models.random_pair import RandomWeights, random_pair

    dtype = str(order["dtype"])
    weights = RandomWeights(
        vocabulary=VOCABULARY,
        device=Device.parse(order["device"]),
        dtype=getattr(torch, "float32" if dtype in (*QUANTIZED, "") else dtype),
        max_prompt_tokens=max(visit.prompt for visit in rung.visits),
    )
    return random_pair(rung.shape, slm or rung.shape, weights)


def _seen(
    shape: Shape, visit: CalibrationSize, loaded: LoadedSystem, clock: Clock, cold: bool
) -> CalibrationSample:
    """Medians of a few answers. cold: after one that is dropped."""
    from hybrid.models.random_pair import TASK, word_prompts

    texts = word_prompts(VOCABULARY, visit.prompt, visit.batch)

    def answer(tokens: int) -> Timing:
        return undisturbed_answers(loaded, TASK, texts, Sampling(tokens, ignore_eos=True), clock)[0].timing

    if cold:
        answer(1 + visit.steps)
    timings = list(repeated(lambda: answer(1 + visit.steps), clock))
    phase = {name: median(timing.phases.get(name, 0.0) for timing in timings) for name in timings[0].phases}
    if "prefill" in phase:
        first, rest = phase["prefill"], phase.get("decode", 0.0)
    else:  # this engine does not tell the first token from the others
        whole = phase["decode"]
        first = median(timing.phases["decode"] for timing in repeated(lambda: answer(1), clock))
        rest = whole - first
    step = rest / visit.steps if visit.steps and rest > 0 else None
    apart = "encode" in phase  # by some engines reading and writing are not told apart; then all is reading
    encode = phase["encode"] if apart else first - (step or 0.0)
    return CalibrationSample(
        shape, visit, phase["tokenize"], encode, first if apart else step, step, phase["detokenize"]
    )


def repeated(answer: Callable[[], Timing], clock: Clock, enough_s: float = ENOUGH_S) -> Iterator[Timing]:
    """Answers until there are a few that took a while: short ones are the more uneven."""
    begun, done = clock(), 0
    while done < 1 or (done < MOST_REPEATS and clock() - begun < (enough_s if done < REPEATS else SHORT_S)):
        yield answer()
        done += 1


def _per_token(measured: Sequence[tuple[CalibrationSize, int, float]]) -> tuple[float, ...]:
    """Seconds of a request, of each of its prompts, and of each token of these."""
    matrix = [[1, visit.batch, visit.batch * tokens] for visit, tokens, _ in measured]
    seconds = np.array([taken for *_, taken in measured])
    seconds_each = nonnegative(np.array(matrix, dtype=float) / seconds[:, None], np.ones(len(seconds)))
    return tuple(map(float, seconds_each))


def _shape(width: int, inner: int, heads: int, layers: int, vocabulary: int) -> Shape:
    config = {
        "model_type": "t5", "d_model": width, "d_ff": inner, "num_heads": heads, "d_kv": HEAD_WIDTH,
        "num_layers": layers, "vocab_size": vocabulary, "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }  # fmt: skip
    return shape_of_config(f"rung-{width}x{layers}", config, "hybrid device")


def _visits(*sizes: tuple[int, int, int]) -> tuple[CalibrationSize, ...]:
    return tuple(CalibrationSize(*size) for size in sizes)


_T = 12  # tokens decoded on a CPU
_BRIEF = _visits((1, 32, _T), (8, 32, _T))
_MORE = _visits((1, 128, _T), (1, 512, _T), (8, 128, _T))
_LARGE = _visits((8, 512, 0), (32, 32, _T))
_LARGEST = _visits((32, 128, 0))
_CPU = (
    CalibrationShape(_shape(64, 128, 1, 2, 1024), _BRIEF + _MORE + _LARGE + _LARGEST),
    CalibrationShape(_shape(64, 128, 1, 8, 1024), _BRIEF + _MORE),
    CalibrationShape(
        _shape(640, 1600, 10, 2, 16384),
        _BRIEF + _visits((1, 128, 0), (1, 512, _T), (8, 128, 0), (32, 32, _T)),
    ),
    CalibrationShape(_shape(192, 512, 3, 4, 8192), _BRIEF + _MORE + _visits((8, 512, 0))),
    CalibrationShape(_shape(960, 2560, 16, 2, 8192), _BRIEF + _visits((1, 128, 0), (1, 512, 0))),
    CalibrationShape(_shape(320, 768, 4, 1, 4096), _BRIEF),
    CalibrationShape(_shape(448, 1024, 7, 4, 32128), _BRIEF + _visits((1, 128, 0), (1, 512, _T))),
    CalibrationShape(_shape(320, 768, 4, 3, 4096), _BRIEF + _visits((8, 128, 0)) + _LARGE + _LARGEST),
    CalibrationShape(_shape(256, 768, 4, 2, 6144), _BRIEF),
    CalibrationShape(_shape(320, 768, 4, 6, 4096), _BRIEF),
)

_GPU_VISITS = _visits(*((batch, prompt, 32) for batch in (1, 8, 32) for prompt in (32, 128, 512)))
_GPU = (
    CalibrationShape(_shape(320, 896, 5, 2, 32128), _GPU_VISITS),
    CalibrationShape(_shape(320, 896, 5, 8, 8192), _GPU_VISITS),
    CalibrationShape(_shape(2560, 6656, 40, 2, 32128), _GPU_VISITS),
    CalibrationShape(_shape(896, 2304, 14, 3, 8192), _GPU_VISITS),
    CalibrationShape(_shape(1536, 4096, 24, 2, 32128), _GPU_VISITS),
    CalibrationShape(_shape(448, 1280, 7, 4, 16384), _GPU_VISITS),
)
