"""A benchmark from a plan to a stored run: check, load, measure, store, and end well in any case."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hybrid.benchmark.plans import check_plan
from hybrid.benchmark.schedule import RunProgress, measure_records, select_examples
from hybrid.benchmark.scoring import score_run
from hybrid.engines.contract import Engine, LoadedSystem
from hybrid.engines.registry import load_engines, spec_of
from hybrid.errors import EngineError, HybridError, PairError, StoreError, SuiteError
from hybrid.measuring.collector import collector_off
from hybrid.measuring.device import memory_bandwidth
from hybrid.measuring.environment import differences, environment
from hybrid.measuring.lock import measuring
from hybrid.measuring.memory import peak_memory, running_out_of_memory
from hybrid.metrics import default_metrics
from hybrid.models.arithmetic import token_costs
from hybrid.models.manifest import MANIFEST, file_sha256, find_pair, zoo
from hybrid.models.shapes import Shape, pair_shapes
from hybrid.schema import (
    Environment,
    Example,
    Finished,
    Interrupted,
    Memory,
    Notice,
    Observer,
    Plan,
    Ran,
    Run,
    Started,
    Status,
    Suite,
    System,
    silent,
)
from hybrid.store import Writer, check_writable, create, new_run_id, resume
from hybrid.suites import check_task, load_suite
from hybrid.suites.rows import remarks

PROGRESS_EVERY_S = 0.5  # to an observer; working out the medians more often would disturb what is measured


def run_benchmark(
    plan: Plan,
    observer: Observer = silent,
    *,
    suite: Suite | None = None,
    wait_s: float = 0.0,
    root: Path | None = None,
) -> Run:
    """Measure what `plan` asks for, and store each answer as it comes.

    suite: the texts, where plan.suite names none that load_suite() knows; its
        name must be the plan's.
    wait_s: seconds to wait for another measurement on this machine.
    root: the folder of results; hybrid.store.results_folder() when None.

    Returns the run as stored: all that the plan left open is settled in it. When
    it ends early, by an error or an interrupt, what was measured stays,
    `observer` is sent Interrupted, and resume_benchmark() goes on.
    Raises HybridError for what cannot be measured, ValueError where the suite has another name.
    """
    check_plan(plan)
    folder, manifest = find_pair(plan.pair or None, zoo())
    if suite is None:
        suite = _suite_of(plan, observer)
        plan = replace(plan, suite=suite.name)  # a file's without its folders
    _check_suite(plan, suite)
    check_task(suite, manifest["tasks"], folder.name)
    plan = replace(plan, suite_hash=suite.content_hash, task=suite.task, pair=folder.name)
    if plan.limit is not None and plan.limit > len(suite.examples):
        size = len(suite.examples)
        observer(
            Notice(sentence=f"The suite has {size} examples, fewer than --limit {plan.limit}: all are taken.")
        )
    examples = select_examples(plan, suite)
    for sentence in remarks(examples, plan.task):
        observer(Notice(sentence=sentence))
    check_writable(root)  # before models are loaded
    run_id, weights = new_run_id(plan, datetime.now(UTC)), file_sha256(folder / MANIFEST)
    observer(Status(sentence="Starting"))
    with measuring(run_id, plan.suite, wait_s, observer):
        plan, loaded = _load(plan, observer)
        shapes = pair_shapes(folder, manifest)
        run = Run(
            run_id,
            plan,
            _environment(plan, weights),
            suite.licence,
            {},
            planned=len(examples) * plan.repeats * len(plan.systems),
            created_at=_now(),
            max_prompt_tokens=int(manifest["max_prompt_tokens"]),
            ran={system: _ran(one.engine, shapes) for system, one in loaded.items()},
            memory_bandwidth=_bandwidth(plan, observer),
        )
        with create(run, examples, root) as writer:
            return _complete(writer, loaded, observer, root)


def _ran(engine: Engine, shapes: tuple[Shape, Shape] | None) -> Ran:
    """Describe how `engine` runs. shapes: None for models whose arithmetic is not known."""
    weight_bytes, flops, attention = (
        token_costs(engine.method, engine.dtype, *shapes) if shapes else (0, 0, 0)
    )
    return Ran(engine.name, engine.device, engine.dtype, dict(engine.options), weight_bytes, flops, attention)


def resume_benchmark(
    run_id: str,
    observer: Observer = silent,
    *,
    memory: bool | None = None,
    wait_s: float = 0.0,
    root: Path | None = None,
) -> Run:
    """Measure what is missing of a stored run, from the texts that are stored.

    run_id: an id, the beginning of one, or `latest`. memory: measure peak memory
    too; as the plan says when None. Otherwise as run_benchmark(). Raises
    PairError or StoreError when what would be measured now does not fit to what
    is stored.
    """
    with resume(run_id, root) as writer:
        for problem in writer.problems:
            observer(Notice(sentence=problem))
        run = writer.run
        _check_weights(run)
        observer(Status(sentence="Starting"))
        with measuring(run.run_id, run.plan.suite, wait_s, observer):
            _, loaded = _load(run.plan, observer)
            _note_environment(writer, _environment(run.plan, run.environment.weights_sha256), observer)
            return _complete(writer, loaded, observer, root, memory)


def _suite_of(plan: Plan, observer: Observer) -> Suite:
    observer(Status(sentence="Reading the suite"))
    return load_suite(plan.suite, plan.task or None, plan.columns or None)


def _check_suite(plan: Plan, suite: Suite) -> None:
    if suite.name != plan.suite:
        raise ValueError(f"plan.suite is {plan.suite!r} and the suite is named {suite.name!r}")
    if plan.suite_hash and plan.suite_hash != suite.content_hash:
        raise SuiteError(
            f"The suite {plan.suite} has other texts now, {suite.content_hash[:12]}, than the plan was made "
            f"for, {plan.suite_hash[:12]}. Restore them, or leave suite_hash out of the plan."
        )


def _load(plan: Plan, observer: Observer) -> tuple[Plan, dict[System, LoadedSystem]]:
    """Load an engine for each system, and fill in the plan what its engine came to."""
    observer(Status(sentence="Loading the models"))
    with collector_off():
        import hybrid.models.bundle  # noqa: F401  # torch and transformers: seconds
    with running_out_of_memory(f"The pair {plan.pair} does not fit into the memory of {plan.device}."):
        return load_engines(plan, observer=observer)


def _complete(
    writer: Writer,
    loaded: dict[System, LoadedSystem],
    observer: Observer,
    root: Path | None,
    memory: bool | None = None,
) -> Run:
    """Measure and store what is missing, scores and memory included; `loaded` is empty then."""
    with _resumable(writer, observer):
        try:
            _measure(writer, loaded, observer)
        except (HybridError, KeyboardInterrupt):
            with suppress(HybridError):  # the first failure is the one to be seen
                _score(writer.run, observer, root)
            raise
        loaded.clear()  # the memory pass may need their room
        _score(writer.run, observer, root)
        writer.sync()  # the memory pass takes a while
        plan = writer.run.plan
        with_memory = plan.memory if memory is None else memory
        peaks = _peak_memory(plan, writer.examples, observer) if with_memory else {}
        run = writer.finish(peaks, _now())
    observer(Finished(run_id=run.run_id))
    return run


def _measure(writer: Writer, loaded: Mapping[System, LoadedSystem], observer: Observer) -> None:
    """Store each item's records as they come. Raises EngineError when memory does not suffice."""
    plan, run = writer.run.plan, writer.run
    several = plan.batch_size > 1
    too_large = (
        f"{f'A batch of {plan.batch_size}' if several else 'A single prompt'} does not fit into the memory "
        f"of {plan.device}."
    )
    fix = ", or start a new run with a smaller --batch-size" if several else ""
    progress = RunProgress(plan, run.planned, writer.earlier)
    observer(Started(run_id=run.run_id, title=plan.suite, planned=run.planned, done=progress.done))
    if progress.done == run.planned:
        observer(progress.event)
    stream = measure_records(plan, writer.examples, loaded, writer.done)
    sent_s = float("-inf")
    with running_out_of_memory(too_large, f"Free some of it{fix}."), closing(stream):
        for records in stream:
            writer.append(records)
            progress.add(records)
            if time.monotonic() - sent_s >= PROGRESS_EVERY_S or progress.done == run.planned:
                observer(progress.event)
                sent_s = time.monotonic()


def _score(run: Run, observer: Observer, root: Path | None) -> None:
    """Score what is stored, all answers alike. A text that had to go on past its end has no quality."""
    if not run.plan.sampling.ignore_eos:
        score_run(run.run_id, default_metrics(run.plan.task), observer, root=root)


def _peak_memory(plan: Plan, examples: tuple[Example, ...], observer: Observer) -> dict[System, Memory]:
    """Peak memory of each system; one that cannot be measured is left out, with a notice."""
    peaks: dict[System, Memory] = {}
    for system in plan.systems:
        observer(Status(sentence=f"Measuring the memory of {system}"))
        try:
            peaks[system] = peak_memory(plan, system, examples)
        except EngineError as error:
            observer(Notice(sentence=str(error)))
    return peaks


@contextmanager
def _resumable(writer: Writer, observer: Observer) -> Iterator[None]:
    """Tell whoever observes that a run has ended early and can go on.

    A run that fails before its first answer would fail again: none is left.
    """
    run = writer.run
    try:
        yield
    except (HybridError, KeyboardInterrupt) as error:
        if writer.lost:  # nothing is left to go on with
            raise
        kept = writer.done or writer.problems or isinstance(error, StoreError | KeyboardInterrupt)
        if kept:
            observer(Interrupted(run_id=run.run_id, done=len(writer.done), planned=run.planned))
        else:
            writer.discard()
        raise


def _bandwidth(plan: Plan, observer: Observer) -> float | None:
    """Of the device's memory; None, with a notice, where there is no room to measure it."""
    observer(Status(sentence="Measuring the memory's bandwidth"))
    try:
        return memory_bandwidth(plan.device, plan.dtype, plan.threads)
    except EngineError as error:
        observer(Notice(sentence=str(error)))
    return None


def _environment(plan: Plan, weights_sha256: str) -> Environment:
    names = {plan.engine_of(system) for system in plan.systems}
    packages = {package for name in sorted(names) for package in spec_of(name).packages}
    return environment(plan.device, weights_sha256, sorted(packages))


def _check_weights(run: Run) -> None:
    folder, _ = find_pair(run.plan.pair, zoo())
    if file_sha256(folder / MANIFEST) != run.environment.weights_sha256:
        raise PairError(
            f"The pair {run.plan.pair} has other weights now than when run {run.run_id} was started. "
            "Restore them, or start a new run."
        )


def _note_environment(writer: Writer, present: Environment, observer: Observer) -> None:
    """Store what differs from where the run was measured so far, and say so."""
    run, before = writer.run, writer.environment
    if run.plan.device.kind != "cpu" and writer.done and before.device_name != present.device_name:
        raise StoreError(
            f"Run {run.run_id} was measured on {before.device_name}, and {run.plan.device} is "
            f"{present.device_name} here. Resume it on a {before.device_name}, or start a new run."
        )
    if changes := differences(before, present):
        sentence = f"The run was started in another environment: {'; '.join(changes)}."
        observer(Notice(sentence=sentence))
    writer.move(present if changes else before)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
