"""A benchmark from a plan to a stored run: check, load, measure, store, and end well in any case."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hybrid.benchmark.block import BlockRequest, Measured, Messages, Ready, measure_blocks
from hybrid.benchmark.plans import check_plan
from hybrid.benchmark.private import PrivateTexts, answers_into, is_of, private_texts, texts_to_resume
from hybrid.benchmark.schedule import RunProgress, select_examples
from hybrid.benchmark.scoring import score_run
from hybrid.errors import EngineError, HybridError, PairError, StoreError, SuiteError
from hybrid.measuring.environment import differences
from hybrid.measuring.lock import measuring
from hybrid.measuring.memory import peak_memory
from hybrid.measuring.probes import busy_reasons
from hybrid.metrics import benchmark_metrics
from hybrid.models.manifest import MANIFEST, file_sha256, find_pair, one_tokenizer, tasks_of
from hybrid.models.pair_summary import able_systems, check_methods, check_models, how_to_train
from hybrid.schema import (
    METHODS,
    SYSTEMS,
    Environment,
    Example,
    Finished,
    Interrupted,
    Memory,
    Notice,
    Observer,
    Plan,
    Run,
    Started,
    Status,
    Suite,
    System,
    silent,
)
from hybrid.schema.runs import UNNAMED
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
    folder, manifest = find_pair(plan.pair or None)
    plan = _of_its_models(plan, folder.name, manifest, observer)
    check_methods(folder.name, manifest, [system.method for system in plan.systems])
    if suite is None:
        suite = _suite_of(plan, observer)
        plan = replace(plan, suite=suite.name)  # without a file's folders, with a bundled one's version
    _check_suite(plan, suite)
    tasks = tasks_of(manifest)
    check_task(suite, tasks, folder.name)
    plan = replace(plan, suite_hash=suite.content_hash, task=suite.task, pair=folder.name)
    private = private_texts(plan, suite) if plan.private else None
    if plan.limit is not None and plan.limit > len(suite.examples):
        size = f"{len(suite.examples):,}"
        observer(
            Notice(sentence=f"The suite has {size} examples, fewer than --limit {plan.limit}: all are taken.")
        )
    plan, examples = (private.plan, private.examples) if private else (plan, select_examples(plan, suite))
    for sentence in remarks(examples, tasks[plan.task].lines):
        observer(Notice(sentence=sentence))
    check_writable(root)  # before models are loaded
    stored = private.stored(tasks[plan.task], observer) if private else examples
    run_id, weights = new_run_id(plan, datetime.now(UTC)), file_sha256(folder / MANIFEST)
    observer(Status(sentence="Starting"))
    request = BlockRequest(plan=plan, examples=examples, weights_sha256=weights)
    with (
        measuring(run_id, plan.suite, wait_s, observer),
        closing(measure_blocks(request, observer)) as stream,
    ):
        ready = next(stream)
        assert isinstance(ready, Ready), "the models are loaded before anything is measured"
        run = Run(
            run_id=run_id,
            plan=ready.plan,
            environment=ready.environment,
            licence="" if plan.suite.startswith(UNNAMED) else suite.licence,
            signatures=private.signatures(tasks[plan.task]) if private else {},
            planned=len(examples) * plan.repeats * len(plan.systems),
            created_at=_now(),
            max_prompt_tokens=int(manifest["max_prompt_tokens"]),
            ran=ready.ran,
            memory_bandwidth=ready.probe.bandwidth,
            probes=(ready.probe,),
            two_tokenizers=not one_tokenizer(manifest),
            own_task=tasks[plan.task],
        )
        with create(run, stored, root) as writer:
            return _complete(writer, stream, observer, root, private)


def _of_its_models(plan: Plan, pair: str, manifest: Mapping[str, Any], observer: Observer) -> Plan:
    """Leave out of the usual systems what the pair has no model for. Raises PairError for others."""
    able = able_systems(plan.systems, manifest)
    if able == plan.systems:
        return plan
    if plan.systems != SYSTEMS:
        check_models(pair, manifest, [model for s in plan.systems for model in METHODS[s.method].models])
    observer(Notice(sentence=how_to_train(pair, manifest)))
    return replace(plan, systems=able)


def resume_benchmark(
    run_id: str,
    observer: Observer = silent,
    *,
    memory: bool | None = None,
    suite: Suite | None = None,
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
        private = texts_to_resume(run, suite, writer.examples) if run.plan.private else None
        observer(Status(sentence="Starting"))
        request = BlockRequest(
            plan=run.plan,
            examples=private.examples if private else writer.examples,
            done=writer.done,
            weights_sha256=run.environment.weights_sha256,
        )
        with (
            measuring(run.run_id, run.plan.suite, wait_s, observer),
            closing(measure_blocks(request, observer)) as stream,
        ):
            return _complete(writer, stream, observer, root, private, memory)


def _suite_of(plan: Plan, observer: Observer) -> Suite:
    observer(Status(sentence="Reading the suite"))
    return load_suite(plan.suite, plan.task or None, plan.columns or None)


def _check_suite(plan: Plan, suite: Suite) -> None:
    if suite.name != plan.suite:
        raise ValueError(f"plan.suite is {plan.suite!r} and the suite is named {suite.name!r}")
    if plan.suite_hash and not is_of(plan, suite):
        raise SuiteError(
            f"The suite {plan.suite} has other texts now, {suite.content_hash[:12]}, than the plan was made "
            f"for, {plan.suite_hash[:12]}. Restore them, or leave suite_hash out of the plan."
        )


def _complete(
    writer: Writer,
    stream: Messages,
    observer: Observer,
    root: Path | None,
    private: PrivateTexts | None,
    memory: bool | None = None,
) -> Run:
    """Store what `stream` measures, and then scores and memory."""
    with _resumable(writer, observer):
        try:
            _store(writer, stream, observer, private)
        except (HybridError, KeyboardInterrupt):
            with suppress(HybridError):  # the first failure is the one to be seen
                _score(writer.run, observer, root)
            raise
        _score(writer.run, observer, root)
        writer.sync()  # the memory pass takes a while
        plan = writer.run.plan
        with_memory = plan.memory if memory is None else memory
        examples = private.examples if private else writer.examples
        peaks = _peak_memory(plan, examples, observer) if with_memory else {}
        run = writer.finish(peaks, _now())
    observer(Finished(run_id=run.run_id, busy=busy_reasons(run) or ()))
    return run


def _store(writer: Writer, stream: Messages, observer: Observer, private: PrivateTexts | None) -> None:
    """Store each item's records as they come, and each probe of the machine."""
    run = writer.run
    progress = RunProgress(run.plan, run.planned, writer.earlier)
    observer(Started(run_id=run.run_id, title=run.plan.suite, planned=run.planned, done=progress.done))
    if progress.done == run.planned:
        observer(progress.event)
    sent_s = float("-inf")
    with answers_into(writer, private) as answers:
        for message in stream:
            if not isinstance(message, Measured):
                answers.flush()
                if isinstance(message, Ready):
                    _note_environment(writer, message.environment, observer)
                writer.add_probe(message.probe)
                continue
            answers.append(message.records)
            progress.add(message.records)
            if time.monotonic() - sent_s >= PROGRESS_EVERY_S or progress.done == run.planned:
                observer(progress.event)
                sent_s = time.monotonic()


def _score(run: Run, observer: Observer, root: Path | None) -> None:
    """Score what is stored, all answers alike. A text that had to go on past its end has no quality."""
    if not (run.plan.sampling.ignore_eos or run.plan.private):  # a private one has its scores already
        score_run(run.run_id, benchmark_metrics(run.task), observer, root=root)


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
        resumable = writer.done or writer.problems or isinstance(error, StoreError | KeyboardInterrupt)
        if resumable:
            observer(Interrupted(run_id=run.run_id, done=len(writer.done), planned=run.planned))
        else:
            writer.discard()
        raise


def _check_weights(run: Run) -> None:
    folder, _ = find_pair(run.plan.pair)
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
