"""Decoder-only models in a profile, where an engine computes them in another way than encoder-decoders.

In 8 bits `onnx` holds their matrices in blocks, for the answers in small ones whose rest is multiplied,
too: what a T5 takes says nothing of them. So Llamas are measured besides: what one takes to
read for a hybrid, to read its own prompt, and a step. As in calibration.py none of the shapes is published.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from hybrid.engines.contract import EngineConfig, LoadedSystem
from hybrid.engines.registry import create_engines, spec_of
from hybrid.measuring import settled_heap
from hybrid.measuring.answers import undisturbed_answers
from hybrid.models.shapes import Shape, shape_of_config
from hybrid.schema import Observer, Phase, Sampling, Status, System, Timing, silent
from hybrid.sizing.calibration import (
    VOCABULARY,
    CalibrationShape,
    CalibrationSize,
    Clock,
    repeated,
    source_of,
)
from hybrid.sizing.cost_features import SHARED, encode_features, head_features, step_features
from hybrid.sizing.costs import Costs, Sample, fitted
from hybrid.sizing.profile import DecoderOnlyCosts, Profile

ENOUGH_S = 0.12  # of answers after which a size is not repeated


@dataclass(frozen=True)
class DecoderOnlySample:
    """Seconds of one shape at one size. read: for a hybrid. prompt: its own. step: None where none was."""

    shape: Shape
    visit: CalibrationSize
    read: float
    prompt: float
    step: float | None


def with_decoder_only(
    profile: Profile, order: Mapping[str, Any], observer: Observer = silent, clock: Clock = time.perf_counter
) -> Profile:
    """Measure decoder-only models, too, where the profile's engine computes them by themselves.

    order: as of measured_profile(). Raises EngineError when the engine cannot run here.
    """
    if not spec_of(profile.engine).decoder_only_apart:
        return profile
    begun, samples = clock(), list[DecoderOnlySample]()
    for index, rung in enumerate(SHAPES):
        where = f"{rung.shape.d_model} columns, {index + 1} of {len(SHAPES)}"
        observer(Status(sentence=f"Measuring {profile.engine} on decoder-only models of {where}"))
        samples += _climbed(rung, profile.engine, order, clock)
    took_s = profile.took_s + clock() - begun
    shapes = profile.shapes + len(SHAPES)
    return replace(profile, decoder_only=fitted_decoder_only(samples), shapes=shapes, took_s=took_s)


def fitted_decoder_only(samples: Sequence[DecoderOnlySample]) -> DecoderOnlyCosts:
    """Find the costs by least squares, see costs.fitted."""
    step = fitted([_stepped(sample, sample.step) for sample in samples if sample.step is not None])
    read, prompt = list[Sample](), list[Sample]()
    for sample in samples:
        size = sample.visit.batch, sample.visit.prompt
        terms, head = encode_features(sample.shape, *size), _nearest(step, size[0])
        read.append(Sample(size, terms, sample.read, sample.read))
        alone = max(0.0, sample.prompt - head.of(head_features(sample.shape)))
        prompt.append(Sample(size, terms, alone, sample.prompt))
    return DecoderOnlyCosts(fitted(read, SHARED), fitted(prompt, SHARED), step)


def _nearest(costs: Sequence[Costs], batch: int) -> Costs:
    return min(costs, key=lambda at_size: abs(at_size.batch - batch))


def _stepped(sample: DecoderOnlySample, seconds: float) -> Sample:
    """Of the step in the middle of those after the first, whose time is their mean."""
    visit = sample.visit
    terms = step_features(sample.shape, visit.prompt + 1 + (visit.steps + 1) / 2)
    return Sample((visit.batch, 0), terms, seconds, seconds)


def _climbed(
    rung: CalibrationShape, engine: str, order: Mapping[str, Any], clock: Clock
) -> Iterator[DecoderOnlySample]:
    """Measure one shape at each of its sizes, as LLM alone and before a small writer."""
    source = source_of(rung, order, WRITER)
    engines = create_engines(engine, EngineConfig(source, ("llm", "hybrid"), **order))
    alone, hybrid = (
        LoadedSystem(system=System(method), engine=engines[method], codec=source.codec(method))
        for method in ("llm", "hybrid")
    )
    with settled_heap():
        for index, visit in enumerate(rung.visits):
            own = _medians(alone, visit, clock, cold=not index)
            read = _medians(hybrid, replace(visit, steps=0), clock, cold=not index)
            step = own["decode"] / visit.steps if visit.steps else None
            yield DecoderOnlySample(rung.shape, visit, read["encode"], own["prefill"], step)


def _medians(loaded: LoadedSystem, visit: CalibrationSize, clock: Clock, cold: bool) -> dict[Phase, float]:
    """Medians of a few answers by phase. cold: after one that is dropped."""
    from hybrid.models.random_pair import TASK, word_prompts

    texts = word_prompts(VOCABULARY, visit.prompt, visit.batch)
    sampling = Sampling(1 + visit.steps, ignore_eos=True)

    def answer() -> Timing:
        return undisturbed_answers(loaded, TASK, texts, sampling, clock)[0].timing

    if cold:
        answer()
    timings = list(repeated(answer, clock, ENOUGH_S))
    return {name: median(timing.phases.get(name, 0.0) for timing in timings) for name in timings[0].phases}


def _llama(width: int, layers: int, vocabulary: int) -> Shape:
    config = {
        "model_type": "llama", "hidden_size": width, "intermediate_size": 8 * width // 3 // 64 * 64,
        "num_attention_heads": width // 64, "num_hidden_layers": layers, "vocab_size": vocabulary,
        "tie_word_embeddings": True,
    }  # fmt: skip
    return shape_of_config(f"rung-llama-{width}x{layers}", config, "hybrid device")


_T = 12  # tokens decoded
_ALL = ((1, 32, _T), (1, 128, _T), (1, 512, 0), (8, 32, _T), (8, 128, _T), (32, 32, _T))
WRITER = _llama(64, 1, VOCABULARY)
# The largest is far beyond what caches hold: its steps wait for memory, as those of real models do.
SHAPES = tuple(
    CalibrationShape(_llama(*sizes), tuple(CalibrationSize(*size) for size in visits))
    for sizes, visits in (
        ((128, 4, 4096), _ALL),
        ((192, 2, 1024), _ALL),
        ((448, 2, 32128), _ALL[:4]),
        ((640, 2, 8192), (*_ALL[:4], (8, 128, 0), _ALL[5])),
        ((960, 3, 16384), (_ALL[0], _ALL[1], _ALL[3])),
    )
)
