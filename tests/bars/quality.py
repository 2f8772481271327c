"""What 8 bits cost in quality: ONNX in 8 bits beside float32, on files of examples."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hybrid.engines.contract import LoadedSystem
from hybrid.measuring.answers import measure_answers
from hybrid.metrics import main_metric, score
from hybrid.models.sources import Source
from hybrid.schema import MODELS, TASKS, Sampling, Suite
from hybrid.suites import load_suite
from tests.bars.bar import Bar, Measured, engines

FIRST = 500  # examples of each file
BATCH = 25
MOST = {"off": 0.2, "on": 0.1}  # points lost, without and with 8 bits in the encoder


def quality(source: Source, files: Sequence[Path]) -> Measured:
    """For each model the mean score over the files of a task, 8-bit minus float32."""
    suites: dict[str, list[Suite]] = {}
    for path in files:
        task = "translate-en-de" if ".tsv" in path.name else "summarize"
        suites.setdefault(task, []).append(load_suite(f"file:{path}", task))
    for task, those in suites.items():
        for model in MODELS:
            reference = _mean(engines(source, {"onnx-fp32": (model,)}), task, those)
            for encoder, most in MOST.items():
                lost = reference - _mean(
                    engines(source, {"onnx": (model,)}, int8_encoder=encoder), task, those
                )
                where = "8-bit decoder" if encoder == "off" else "8-bit decoder and encoder"
                claim = f"{model}, {task}, {where}: mean score within {most} of float32"
                yield Bar(claim, f"{-lost:+.3f} of {reference:.2f}", abs(lost) <= most)


def _mean(systems: Mapping[str, LoadedSystem], task: str, suites: Sequence[Suite]) -> float:
    (loaded,) = systems.values()
    scores = [_score(loaded, task, suite) for suite in suites]
    return sum(scores) / len(scores)


def _score(loaded: LoadedSystem, task: str, suite: Suite) -> float:
    examples = sorted(suite.examples[:FIRST], key=lambda example: len(example.source))
    texts: list[str] = []
    for start in range(0, len(examples), BATCH):
        sources = [example.source for example in examples[start : start + BATCH]]
        answers = measure_answers(loaded, task, sources, Sampling(128, truncate=True))
        texts += [answer.text for answer in answers]
    return score(main_metric(TASKS[task]).name, texts, [example.references for example in examples]).value
