"""Runs with chosen outputs and times, as they come from the store."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from hybrid import store
from hybrid.metrics import signatures_of, statistics_of
from hybrid.schema import (
    Environment,
    Example,
    Generation,
    Memory,
    Plan,
    Record,
    Run,
    Sampling,
    Suite,
    System,
    Timing,
    task_named,
)
from hybrid.store import StoredRun

START = datetime(2026, 11, 23, 1, 45, tzinfo=UTC)
ENVIRONMENT = Environment(
    product="0.1.0", code="abc1234", weights_sha256="f" * 64, python="3.11.9", system="Linux 6.1",
    cpu="A CPU", cpu_count=8, memory_bytes=1 << 34, device_name="A CPU", packages={"torch": "2.13.0"},
)  # fmt: skip

REFERENCES = (
    "Das alte Haus am Fluss ist sehr groß.",
    "Viele Leute wohnen dort seit Jahren.",
    "Der Ausschuss will die neue Brücke vor dem Winter eröffnen.",
    "Bitte geben Sie den Schlüssel an der Rezeption ab.",
    "Der Zug hält leider nicht in jeder kleinen Stadt am Meer.",
)

Text = Callable[[int, int], str]  # example, repeat -> what is written
Times = Callable[[int, int], float]  # example, repeat -> total seconds


def reference(i: int) -> str:
    return f"{REFERENCES[i % len(REFERENCES)]} Nummer {i}."


def worse(i: int, repeat: int = 0) -> str:
    """The reference with two words missing in every third example."""
    words = reference(i).split()
    return " ".join(words[:2] + words[4:] if i % 3 == 0 else words)


def examples(n: int) -> tuple[Example, ...]:
    return tuple(Example(f"e{i:04}", "made", f"Source text {i}.", (reference(i),)) for i in range(n))


scored = cache(statistics_of)


def right(i: int, repeat: int = 0) -> str:
    return reference(i)


def quarter(i: int, repeat: int = 0) -> float:
    return slow(i) / 4


def slow(i: int, repeat: int = 0) -> float:
    return 0.4 + 0.01 * (i % 7)


def make_run(
    n: int = 40,
    texts: Mapping[System, Text] | None = None,
    seconds: Mapping[System, Times] | None = None,
    run_id: str = "run-a",
    answered: Callable[[System, int, int], bool] = lambda system, i, repeat: True,
    **plan: object,
) -> StoredRun:
    """A run of n examples: by default the LLM is right, the others 4 times as fast and worse.

    seconds: batch, repeat -> what a batch takes. answered: which answers are
    there. plan: fields of the Plan besides.
    """
    of_suite = examples(n)
    suite = Suite("made", "translate-en-de", "CC0-1.0", of_suite)
    defaults = {"suite": suite.name, "suite_hash": suite.content_hash, "task": suite.task, "pair": "tiny"}
    defaults |= {"engine": "torch", "dtype": "float32", "sampling": Sampling()}
    chosen = Plan(**(defaults | plan))  # type: ignore[arg-type]
    texts = {"llm": right, "slm": worse, "hybrid": worse} | dict(texts or {})
    seconds = {"llm": slow, "slm": quarter, "hybrid": quarter} | dict(seconds or {})
    records: list[Record] = []
    moment = START
    batches = range(-(-n // chosen.batch_size))
    order = itertools.product(range(chosen.repeats), batches, chosen.systems)
    for position, (repeat, batch, system) in enumerate(order):
        total = seconds[system](batch, repeat)
        for i in range(batch * chosen.batch_size, min((batch + 1) * chosen.batch_size, n)):
            if answered(system, i, repeat):
                text = texts[system](i, repeat)
                statistics = scored(task_named(chosen.task), text, of_suite[i].references)
                answer = generation(system, text, total)
                records.append(
                    Record(
                        example_id=of_suite[i].id,
                        repeat=repeat,
                        batch=batch,
                        position=position,
                        started_at=moment.isoformat(),
                        generation=answer,
                        statistics=statistics,
                    )
                )
        moment += timedelta(seconds=total)
    planned = n * chosen.repeats * len(chosen.systems)
    run = Run(
        run_id=run_id,
        plan=chosen,
        environment=ENVIRONMENT,
        licence="CC0-1.0",
        signatures=signatures_of(task_named(chosen.task), [e.references for e in of_suite]),
        planned=planned,
        created_at=START.isoformat(),
        finished_at=moment.isoformat() if len(records) == planned else None,
        memory={s: Memory(resident=900_000_000, before_model=400_000_000) for s in chosen.systems},
    )
    return StoredRun(run, of_suite, tuple(records), ())


def generation(system: System, text: str, total_s: float, tokens: int | None = None) -> Generation:
    """The first of as many tokens as words after a tenth of the time, the last at nine tenths."""
    count = len(text.split()) + 1 if tokens is None else tokens
    times = [total_s * (0.1 + 0.8 * k / max(count - 1, 1)) for k in range(count)]
    phases = {"encode": 0.05 * total_s, "decode": 0.95 * total_s}
    return Generation(
        system=system,
        text=text,
        token_ids=tuple(range(count)),
        prompt_tokens=12,
        finish_reason="eos",
        timing=Timing(phases, tuple(times)),
    )  # type: ignore[arg-type]


def changed(stored: StoredRun, plan: Mapping[str, object] | None = None, **run: object) -> StoredRun:
    """The run with other fields, of its plan or of itself."""
    new = replace(stored.run.plan, **(plan or {}))  # type: ignore[arg-type]
    return replace(stored, run=replace(stored.run, plan=new, **run))  # type: ignore[arg-type]


def with_records(stored: StoredRun, change: Callable[[Record], Record]) -> StoredRun:
    return replace(stored, records=tuple(map(change, stored.records)))


def sentences(warnings: Sequence[str], *parts: str) -> list[str]:
    """The warnings that hold every one of `parts`."""
    return [w for w in warnings if all(part in w for part in parts)]


def put(stored: StoredRun, root: Path) -> None:
    """Store a run under `root`, finished where it is."""
    with store.create(stored.run, stored.examples, root) as writer:
        writer.append(stored.records)
        if stored.run.finished_at:
            writer.finish(stored.run.memory, stored.run.finished_at)
