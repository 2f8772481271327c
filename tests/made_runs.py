"""Runs that nobody measured, stored for pages to show: plausible numbers, real statistics of real metrics."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from hybrid.metrics import METRICS, Case, default_metrics, signatures_of
from hybrid.schema import (
    SYSTEMS,
    TASKS,
    Example,
    Generation,
    Memory,
    Plan,
    Ran,
    Record,
    Run,
    Sampling,
    Suite,
    System,
    Timing,
)
from hybrid.store import create
from hybrid.store.checks import seal
from tests.environments import made_environment

TEXT = "der die das Haus Zug Brücke Fluss hält fährt alt neu groß klein hier dort nicht und oder am im"
WORDS = tuple(TEXT.split())
TOKEN_S = {"llm": 2.4e-3, "slm": 0.27e-3, "hybrid": 0.28e-3, "lossless": 1.3e-3}
READ_S = {"llm": 8.7e-3, "slm": 1.2e-3, "hybrid": 8.7e-3, "lossless": 10e-3}
WRONG = {"llm": 0.3, "slm": 0.42, "hybrid": 0.33, "lossless": 0.3}  # share of words that miss the reference


def store_run(
    root: Path,
    number: int = 0,
    examples: int = 12,
    repeats: int = 1,
    systems: Sequence[System] = SYSTEMS,
    suite: str = "made-up",
    task: str = "translate-en-de",
    device_name: str = "A CPU",
    answered: float = 1.0,
    texts: Sequence[str] = (),
    **plan: object,
) -> str:
    """Store one run and return its id. answered: the share of records that it has; below 1 it is incomplete.

    texts: sources to take instead of made ones, also as answers.
    """
    draw = random.Random(number)
    suite_examples = [_example(draw, i, texts) for i in range(examples)]
    of_suite = Suite(suite, task, "CC0-1.0", tuple(suite_examples))
    plan = {"pair": "tiny", "engine": "onnx", "dtype": "int8", "sampling": Sampling(64)} | plan
    whole = Plan(
        suite, suite_hash=of_suite.content_hash, task=task, systems=tuple(systems), repeats=repeats, **plan
    )
    environment = made_environment(
        weights_sha256="cd" * 32, system="Linux 6.1", cpu=device_name, device_name=device_name
    )
    ran = {
        system: Ran(
            engine=whole.engine_of(system),
            device=whole.device,
            dtype=whole.dtype,
            options={},
            decode_bytes=6_000_000,
            encode_flops=40_000_000,
            attention_flops=3000,
        )
        for system in systems
    }
    day, minute = divmod(number, 1440)
    stamp = f"{2026 - day // 28:04}-10-{1 + day % 28:02}T{minute // 60:02}:{minute % 60:02}:00+00:00"
    run = Run(
        run_id=f"made-{number:04}", plan=whole, environment=environment, licence="CC0-1.0",
        signatures=dict(signatures_of(TASKS[task], [example.references for example in suite_examples])),
        planned=examples * repeats * len(systems), created_at=stamp,
        max_prompt_tokens=512, ran=ran, memory_bandwidth=2e10,
    )  # fmt: skip
    records = _records(draw, whole, suite_examples, texts)
    with create(run, suite_examples, root) as writer:
        keep = round(len(records) * answered)
        for start in range(0, keep, 500):
            for record in records[start : min(start + 500, keep)]:
                writer.append([record])
        if answered >= 1:
            memory = {system: Memory(resident=900_000_000, before_model=600_000_000) for system in systems}
            writer.finish(memory, stamp)
        return writer.run.run_id


def rewrite_lines(path: Path, change: Callable[[str], str]) -> None:
    """Change each line of a stored file, as one who then puts its checksum right."""
    lines = [line.partition(',"crc32"')[0] + "}" for line in path.read_text("utf-8").splitlines()]
    path.write_bytes(b"".join(seal(change(line).encode()) for line in lines))


def store_many(root: Path, count: int, **plan: object) -> list[str]:
    """Many small runs: two suites, two devices, engines and batch sizes in turn."""
    return [
        store_run(
            root, number, examples=8, suite=("made-up", "made-other")[number % 2],
            device_name=("A CPU", "NVIDIA H200")[number // 2 % 2],
            **({"engine": ("onnx", "torch")[number // 4 % 2], "batch_size": (1, 8)[number // 8 % 2]} | plan),
        )
        for number in range(count)
    ]  # fmt: skip


def _example(draw: random.Random, number: int, texts: Sequence[str]) -> Example:
    if number < len(texts):
        return Example(f"x-{number}", "hostile", texts[number], (texts[number],))
    words = draw.choices(WORDS, k=draw.randint(4, 30))
    return Example(
        f"news-{number}",
        ("news", "travel")[number % 2],
        f"Source {number}: " + " ".join(words),
        (" ".join(words),),
    )


def _records(
    draw: random.Random, plan: Plan, examples: Sequence[Example], texts: Sequence[str]
) -> list[Record]:
    records: list[Record] = []
    size = plan.batch_size
    for repeat in range(plan.repeats):
        for start in range(0, len(examples), size):
            for system in plan.systems:
                rows = [
                    _generation(draw, plan, system, e, e.source in texts)
                    for e in examples[start : start + size]
                ]
                slowest = max(rows, key=lambda generation: generation.timing.total_s).timing.phases
                position = len(records)
                for example, generation in zip(examples[start : start + size], rows, strict=True):
                    last = sum(slowest.values()) - slowest["detokenize"]
                    times = tuple(min(t, last) for t in generation.timing.token_times_s)
                    generation = replace(generation, timing=Timing(slowest, times))
                    records.append(_record(plan, example, repeat, start // size, position, generation))
    return records


def _generation(
    draw: random.Random, plan: Plan, system: System, example: Example, as_it_is: bool
) -> Generation:
    method = system.partition("@")[0]
    words = example.references[0].split()
    if not as_it_is:
        words = [draw.choice(WORDS) if draw.random() < WRONG[method] else word for word in words]
    count, noise = max(2, len(words)), draw.uniform(0.95, 1.1)
    read, token = READ_S[method] * noise, TOKEN_S[method] * noise
    first = 3e-4 + read + 2 * token
    times = tuple(round(first + i * token, 6) for i in range(count))
    phases = {
        "tokenize": 3e-4,
        "encode": read,
        "prefill": 2 * token,
        "decode": (count - 1) * token,
        "detokenize": 1e-4,
    }
    phases = {name: round(seconds, 7) for name, seconds in phases.items()}
    text = example.references[0] if as_it_is else " ".join(words)
    return Generation(
        system=system,
        text=text,
        token_ids=(*range(2, count + 1), 1),
        prompt_tokens=len(words) + 6,
        finish_reason="eos",
        timing=Timing(phases, times),
    )


def _record(
    plan: Plan, example: Example, repeat: int, batch: int, position: int, generation: Generation
) -> Record:
    statistics = {
        name: tuple(METRICS[name].statistics(Case(generation.text, example.references)))
        for name in default_metrics(TASKS[plan.task])
    }
    started = f"2026-10-01T00:{position // 60 % 60:02}:{position % 60:02}.000000+00:00"
    return Record(
        example_id=example.id,
        repeat=repeat,
        batch=batch,
        position=position,
        started_at=started,
        generation=generation,
        statistics=statistics,
    )
