"""What `hybrid bench` does once it is parsed: check, load, measure, store, and end well in any case."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import Any

import click

from hybrid.bench import benchmark, chosen
from hybrid.cli.bench_progress import Progress, drawing
from hybrid.cli.console import collector_off, out, status
from hybrid.environment import differences, environment
from hybrid.errors import EngineError, HybridError, PairError, StoreError, SuiteError
from hybrid.lock import measuring
from hybrid.measure import Engine
from hybrid.memory import peak_memory
from hybrid.metrics import signatures_of
from hybrid.model.manifest import MANIFEST, file_sha256, find_pair, zoo
from hybrid.schema import Environment, Memory, Plan, Run, Suite, System
from hybrid.store import Writer, create, load_run, new_run_id, results_folder, resume
from hybrid.suites import check_task, load_suite

OUT_OF_MEMORY = ("out of memory", "allocate memory")  # torch's words, for a GPU and for the CPU


@dataclass(frozen=True)
class Job:
    """What is to be measured. weights: hash of the pair. run_id: of the stored run to go on with."""

    plan: Plan
    suite: Suite
    weights: str
    run_id: str | None = None


def new_job(name: str, columns: Mapping[str, str] | None, options: dict[str, Any]) -> Job:
    """The job that the command's options ask for; `options` are fields of Plan.

    Raises SuiteError, PairError, and StoreError when no run could be stored.
    """
    folder, manifest = find_pair(options["pair"], zoo())
    with status("Reading the suite"):
        suite = load_suite(name, options["task"], columns)
    check_task(suite, manifest["tasks"], folder.name)
    found = {"suite": suite.name, "suite_hash": suite.content_hash, "task": suite.task, "pair": folder.name}
    plan = Plan(**options | found)
    if plan.limit is not None and plan.limit > len(suite.examples):
        _notice(
            f"The suite has {len(suite.examples)} examples, fewer than --limit {plan.limit}: all are taken."
        )
    _check_writable()
    return Job(plan, suite, file_sha256(folder / MANIFEST))


def stored_job(run_id: str, columns: Mapping[str, str] | None) -> Job:
    """What is missing of a stored run. Raises SuiteError or PairError when texts or weights have changed."""
    stored = load_run(run_id)
    run, plan = stored.run, stored.run.plan
    with status("Reading the suite"):
        suite = load_suite(plan.suite, plan.task, columns)
    if suite.content_hash != plan.suite_hash or chosen(plan, suite) != stored.examples:
        raise SuiteError(
            f"The suite {plan.suite} has other texts now than when run {run.run_id} was started. "
            "Restore them, or start a new run."
        )
    folder, _ = find_pair(plan.pair, zoo())
    weights = file_sha256(folder / MANIFEST)
    if weights != run.environment.weights_sha256:
        raise PairError(
            f"The pair {plan.pair} has other weights now than when run {run.run_id} was started. "
            "Restore them, or start a new run."
        )
    return Job(plan, suite, weights, run.run_id)


def perform(job: Job, wait_s: float, with_memory: bool) -> None:
    """Measure and store what is missing; the id of the run is the last line on stdout.

    wait_s: how long to wait for another measurement on this machine. Raises
    HybridError and lets an interrupt through; what was stored stays.
    """
    with ExitStack() as stack:
        writer = stack.enter_context(resume(job.run_id)) if job.run_id else None
        run_id = job.run_id or new_run_id(job.plan, datetime.now(UTC))
        _take_machine(stack, run_id, job.suite.name, wait_s)
        engines = _engines(job.plan)
        here = environment(job.plan.device, job.weights)
        if writer is None:
            writer = stack.enter_context(create(_run(job, run_id, here), chosen(job.plan, job.suite)))
        else:
            _compare_environments(writer.run.environment, here)
        with _resumable(writer):
            progress = _measure(job, writer, engines)
            del engines  # the memory pass may need their room
            memory = _memory(job) if with_memory else {}
            run = writer.finish(memory, _now())
        medians = progress.speedups and f" Speed-up over the LLM, end to end: {progress.speedups} (medians)."
        click.echo(f"All {run.planned} answers are stored.{medians} `hybrid compare` says more.", err=True)
        out(run.run_id)


def _take_machine(stack: ExitStack, run_id: str, suite: str, wait_s: float) -> None:
    """Hold the machine's lock until `stack` ends."""
    said: set[str] = set()
    with status("Starting") as say:

        def waiting(sentence: str) -> None:
            say(sentence)
            if sentence not in said and not sys.stderr.isatty():  # where no spinner turns
                click.echo(sentence, err=True)
            said.add(sentence)

        stack.enter_context(measuring(run_id, suite, wait_s, waiting))


def _engines(plan: Plan) -> dict[System, Engine]:
    from hybrid.engines.table import load_engines

    with status("Starting") as say:
        with collector_off():
            import hybrid.model.bundle  # noqa: F401  # torch and transformers: seconds
        return load_engines(plan, progress=say)


def _run(job: Job, run_id: str, here: Environment) -> Run:
    plan, examples = job.plan, chosen(job.plan, job.suite)
    references = [example.references for example in examples]
    signatures = {} if plan.sampling.ignore_eos else signatures_of(plan.task, references)
    planned = len(examples) * plan.repeats * len(plan.systems)
    return Run(run_id, plan, here, job.suite.licence, signatures, planned, created_at=_now())


def _measure(job: Job, writer: Writer, engines: Mapping[System, Engine]) -> Progress:
    """Store each turn's records as they come. Raises EngineError when memory does not suffice."""
    plan, done = job.plan, writer.done
    progress = Progress(plan, writer.run.planned, load_run(writer.run.run_id).records if done else ())
    stream = benchmark(plan, job.suite, engines, done)
    try:
        with closing(stream), drawing(job.suite.name, progress) as show:
            for records in stream:
                writer.append(records)
                progress.add(records)
                show()
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(said in str(error) for said in OUT_OF_MEMORY):
            raise
        raise EngineError(
            f"A batch of {plan.batch_size} does not fit into the memory of {plan.device}. "
            "Free some of it, or start a new run with a smaller --batch-size."
        ) from error
    return progress


def _memory(job: Job) -> dict[System, Memory]:
    """Peak memory of each system; one that cannot be measured is left out, with a notice."""
    found: dict[System, Memory] = {}
    with status("Measuring memory") as say:
        for system in job.plan.systems:
            say(f"Measuring the memory of {system}")
            try:
                found[system] = peak_memory(job.plan, system, chosen(job.plan, job.suite))
            except EngineError as error:
                _notice(str(error))
    return found


@contextmanager
def _resumable(writer: Writer) -> Iterator[None]:
    """Whatever ends a run early, what is stored and how to go on is said, and the id is the last line."""
    run = writer.run
    try:
        yield
    except (HybridError, KeyboardInterrupt) as error:
        if not isinstance(error, StoreError):  # which says it itself
            _notice(
                f"{len(writer.done)} of {run.planned} answers are stored; "
                f"`hybrid bench --resume {run.run_id}` goes on."
            )
        out(run.run_id)
        raise


def _compare_environments(before: Environment, here: Environment) -> None:
    if found := differences(before, here):
        _notice(f"The run was started in another environment: {'; '.join(found)}.")


def _check_writable() -> None:
    """Raises StoreError when no run can be stored: now, before models are loaded."""
    folder = results_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"No run can be stored in {folder}: {error.strerror}. HYBRID_RESULTS names another folder."
        ) from error


def _notice(sentence: str) -> None:
    click.echo(f"notice: {sentence}", err=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
