"""What `hybrid bench` does once it is parsed: check, load, measure, store, and end well in any case."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from hybrid.benchmark.progress import Progress
from hybrid.benchmark.schedule import benchmark, chosen
from hybrid.cli.bench_progress import drawing
from hybrid.cli.console import notice, out, status
from hybrid.engines.contract import Engine
from hybrid.engines.registry import kind_of
from hybrid.engines.system_info import pair_shapes, ran
from hybrid.errors import EngineError, HybridError, PairError, StoreError
from hybrid.measuring.collector import collector_off
from hybrid.measuring.device import memory_bandwidth
from hybrid.measuring.environment import differences, environment
from hybrid.measuring.lock import measuring
from hybrid.measuring.memory import peak_memory
from hybrid.metrics import signatures_of
from hybrid.models.manifest import MANIFEST, file_sha256, find_pair, zoo
from hybrid.schema import Environment, Example, Memory, Plan, Run, System
from hybrid.store import Writer, check_writable, create, new_run_id, resume
from hybrid.suites import check_task, load_suite

OUT_OF_MEMORY = ("out of memory", "allocate memory", "ALLOC_FAILED")  # torch's words: GPU, CPU, cuBLAS


def begin(
    name: str, columns: Mapping[str, str] | None, options: dict[str, Any], wait_s: float, with_memory: bool
) -> None:
    """Measure a suite into a new run, whose id is the last line on stdout.

    options: fields of Plan. wait_s: how long to wait for another measurement on
    this machine. Raises HybridError and lets an interrupt through; what was stored stays.
    """
    folder, manifest = find_pair(options["pair"], zoo())
    with status("Reading the suite"):
        suite = load_suite(name, options["task"], columns)
    check_task(suite, manifest["tasks"], folder.name)
    found = {"suite": suite.name, "suite_hash": suite.content_hash, "task": suite.task, "pair": folder.name}
    plan = Plan(**options | found)
    if plan.limit is not None and plan.limit > len(suite.examples):
        notice(
            f"The suite has {len(suite.examples)} examples, fewer than --limit {plan.limit}: all are taken."
        )
    examples = chosen(plan, suite)
    check_writable()  # before models are loaded
    run_id, weights = new_run_id(plan, datetime.now(UTC)), file_sha256(folder / MANIFEST)
    with _machine(run_id, plan.suite, wait_s):
        plan, engines = _engines(plan)
        shapes = pair_shapes(folder, manifest)
        run = Run(
            run_id,
            plan,
            _environment(plan, weights),
            suite.licence,
            _signatures(plan, examples),
            planned=len(examples) * plan.repeats * len(plan.systems),
            created_at=_now(),
            max_prompt_tokens=int(manifest["max_prompt_tokens"]),
            ran={system: ran(engine, shapes) for system, engine in engines.items()},
            memory_bandwidth=_bandwidth(plan),
        )
        with create(run, examples) as writer:
            _complete(writer, engines, with_memory)


def go_on(run_id: str, wait_s: float, with_memory: bool) -> None:
    """Measure what is missing of a stored run; as begin(), but the texts are those that are stored.

    Raises PairError or StoreError when what would be measured now does not fit
    to what is stored.
    """
    with resume(run_id) as writer:
        for problem in writer.problems:
            notice(problem)
        run = writer.run
        _check_weights(run)
        _check_signatures(run, writer.examples)
        with _machine(run.run_id, run.plan.suite, wait_s):
            _, engines = _engines(run.plan)
            _move(writer, _environment(run.plan, run.environment.weights_sha256))
            _complete(writer, engines, with_memory)


def _complete(writer: Writer, engines: dict[System, Engine], with_memory: bool) -> None:
    """Measure and store what is missing, memory included; `engines` is empty then."""
    with _resumable(writer):
        progress = _measure(writer, engines)
        engines.clear()  # the memory pass may need their room
        writer.sync()  # it takes a while
        memory = _memory(writer.run.plan, writer.examples) if with_memory else {}
        run = writer.finish(memory, _now())
    medians = progress.speedups and f" Speed-up over the LLM, end to end: {progress.speedups} (medians)."
    click.echo(f"All {run.planned} answers are stored.{medians} `hybrid compare` says more.", err=True)
    out(run.run_id)


@contextmanager
def _machine(run_id: str, suite: str, wait_s: float) -> Iterator[None]:
    """Hold the machine's lock while the block runs."""
    said: set[str] = set()
    with ExitStack() as stack:
        with status("Starting") as say:

            def waiting(sentence: str) -> None:
                say(sentence)
                if sentence not in said and not sys.stderr.isatty():  # where no spinner turns
                    click.echo(sentence, err=True)
                said.add(sentence)

            stack.enter_context(measuring(run_id, suite, wait_s, waiting))
        yield


def _engines(plan: Plan) -> tuple[Plan, dict[System, Engine]]:
    """An engine for each system, and the plan with what `--engine auto` came to."""
    from hybrid.engines.registry import load_engines

    with status("Starting") as say:
        with collector_off():
            import hybrid.models.bundle  # noqa: F401  # torch and transformers: seconds
        with _fitting(f"The pair {plan.pair} does not fit", plan.device, "Free some of it."):
            return load_engines(plan, progress=say, say=notice)


def _bandwidth(plan: Plan) -> float | None:
    """Of the device's memory; None, with a notice, where there is no room to measure it."""
    with status("Measuring the memory's bandwidth"):
        try:
            return memory_bandwidth(plan.device, plan.dtype, plan.threads)
        except EngineError as error:
            notice(str(error))
    return None


def _environment(plan: Plan, weights_sha256: str) -> Environment:
    names = {plan.engine_of(system) for system in plan.systems}
    packages = {package for name in sorted(names) for package in kind_of(name).packages}
    return environment(plan.device, weights_sha256, sorted(packages))


def _signatures(plan: Plan, examples: tuple[Example, ...]) -> dict[str, str]:
    """By metric; none for answers that are not scored."""
    references = [example.references for example in examples]
    return {} if plan.sampling.ignore_eos else dict(signatures_of(plan.task, references))


def _measure(writer: Writer, engines: Mapping[System, Engine]) -> Progress:
    """Store each turn's records as they come. Raises EngineError when memory does not suffice."""
    plan, several = writer.run.plan, writer.run.plan.batch_size > 1
    what = f"A batch of {plan.batch_size}" if several else "A single prompt"
    fix = (
        "Free some of it, or start a new run with a smaller --batch-size." if several else "Free some of it."
    )
    progress = Progress(plan, writer.run.planned, writer.earlier)
    stream = benchmark(plan, writer.examples, engines, writer.done)
    with (
        _fitting(f"{what} does not fit", plan.device, fix),
        closing(stream),
        drawing(plan.suite, progress) as show,
    ):
        for records in stream:
            writer.append(records)
            progress.add(records)
            show()
    return progress


def _memory(plan: Plan, examples: tuple[Example, ...]) -> dict[System, Memory]:
    """Peak memory of each system; one that cannot be measured is left out, with a notice."""
    found: dict[System, Memory] = {}
    with status("Measuring memory") as say:
        for system in plan.systems:
            say(f"Measuring the memory of {system}")
            try:
                found[system] = peak_memory(plan, system, examples)
            except EngineError as error:
                notice(str(error))
    return found


@contextmanager
def _fitting(what: str, device: str, fix: str) -> Iterator[None]:
    """Running out of memory becomes an EngineError: `what` into the memory of `device`, and the fix."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(said in str(error) for said in OUT_OF_MEMORY):
            raise
        raise EngineError(f"{what} into the memory of {device}. {fix}") from error


@contextmanager
def _resumable(writer: Writer) -> Iterator[None]:
    """Whatever ends a run early, what is stored and how to go on is said, and the id is the last line.

    A run that fails before its first answer would fail again: none is left.
    """
    run = writer.run
    try:
        yield
    except (HybridError, KeyboardInterrupt) as error:
        explained = isinstance(error, StoreError)  # it says itself how to go on
        if not (explained or isinstance(error, KeyboardInterrupt) or writer.done or writer.problems):
            writer.discard()
            raise
        if not explained:
            notice(
                f"{len(writer.done)} of {run.planned} answers are stored; "
                f"`hybrid bench --resume {run.run_id}` goes on."
            )
        out(run.run_id)
        raise


def _check_weights(run: Run) -> None:
    folder, _ = find_pair(run.plan.pair, zoo())
    if file_sha256(folder / MANIFEST) != run.environment.weights_sha256:
        raise PairError(
            f"The pair {run.plan.pair} has other weights now than when run {run.run_id} was started. "
            "Restore them, or start a new run."
        )


def _check_signatures(run: Run, examples: tuple[Example, ...]) -> None:
    """Answers of one run are scored alike, or their scores could not be summed."""
    here = _signatures(run.plan, examples)
    for metric in {**run.signatures, **here}:
        before, now = run.signatures.get(metric, "none"), here.get(metric, "none")
        if before != now:
            raise StoreError(
                f"Run {run.run_id} cannot be resumed: its {metric} is {before}, and here it is {now}. "
                "Install the packages that it was started with, or start a new run."
            )


def _move(writer: Writer, here: Environment) -> None:
    """What differs from where the run was measured so far is said, and stored with the run."""
    run, before = writer.run, writer.environment
    if run.plan.device != "cpu" and writer.done and before.device_name != here.device_name:
        raise StoreError(
            f"Run {run.run_id} was measured on {before.device_name}, and {run.plan.device} is "
            f"{here.device_name} here. Resume it on a {before.device_name}, or start a new run."
        )
    changes = differences(before, here)
    if changes:
        notice(f"The run was started in another environment: {'; '.join(changes)}.")
    writer.move(here if changes else before)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
