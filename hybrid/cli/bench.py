"""`hybrid bench`: a suite answered and timed by several systems, into a stored run; `hybrid private`."""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from hybrid.benchmark.plan_options import PLAN_OPTIONS, plan_of_options, threads_notice
from hybrid.cli.console import Terminal, notice, out, say, speedups, standard_input
from hybrid.cli.options import given_options, is_given, wait_option, with_options
from hybrid.errors import BusyError, EngineError, HybridError, PairError, StoreError
from hybrid.schema import Event, Failed, Observer, Plan, Suite

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# What may be given beside --plan and --resume; all else is in the plan.
BESIDE_PLAN = ("plan", "wait", "events")
BESIDE_RESUME = ("resume", "wait", "events", "memory")
OF_PRIVATE = ("suite", "columns")  # beside either, of a private run: it does not name its suite
WITHOUT_TEXTS = (BusyError, EngineError, PairError, StoreError)  # what their sentences never quote
AGAIN_S = 0.05


@click.command()
@click.argument("suite", required=False)
@with_options(PLAN_OPTIONS)
@click.option(
    "--plan",
    metavar="FILE",
    help="Measure the plan in FILE, JSON or TOML or any run.json; - is standard input.",
)
@wait_option
@click.option("--resume", metavar="RUN", help="Go on with a run that was interrupted; see `hybrid runs`.")
@click.option("--events", metavar="FILE", help="Append what happens, as JSON lines.")
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    suite: str | None,
    plan: str | None,
    resume: str | None,
    events: str | None,
    wait: float,
    **options: Any,
) -> None:
    """Measure the systems of a pair on SUITE and store the run; its id is the last line.

    SUITE: everyday-en-de, briefs-en, everyday-100-en-de (or one of their
    versions, as everyday-en-de@1), sacrebleu:wmt20/en-de,
    hf:DATASET:CONFIG:SPLIT, file:PATH or file:SOURCES,REFERENCES.

    Ctrl-C and SIGTERM keep what was measured; the exit code is then 130 or
    143, and `hybrid bench --resume RUN` goes on, where anything was. Only one measurement runs on
    a machine at a time. A private run of a file or of the Hub does not name its suite: to go on with one,
    or with its --plan, name SUITE and --columns again.
    """
    beside = OF_PRIVATE if suite is not None else ()
    if resume is not None and (surplus := given_options(ctx, (*BESIDE_RESUME, *beside))):
        raise click.UsageError(f"--resume goes on with the stored plan; leave out {', '.join(surplus)}.")
    if plan is not None and (surplus := given_options(ctx, (*BESIDE_PLAN, *beside))):
        raise click.UsageError(f"--plan says all that is measured; leave out {', '.join(surplus)}.")
    if suite is None and plan is None and resume is None:
        raise click.UsageError("Missing argument 'SUITE'; only --plan and --resume go without.")
    if options["fixed_length"] and is_given(ctx, "max_new_tokens"):
        raise click.UsageError("--fixed-length and --max-new-tokens exclude each other; give one of them.")
    if options["label"] and not options["private"]:
        raise click.UsageError("--label is what a --private run calls its suite; give both of them.")
    try:
        with stoppable(), Terminal() as terminal, _logged(terminal, events) as observer:
            from hybrid.benchmark.run import resume_benchmark, run_benchmark

            if resume is not None:
                memory = options["memory"] if is_given(ctx, "memory") else None
                texts = _suite_beside(terminal, resume, suite, options["columns"])
                run = resume_benchmark(resume, observer, memory=memory, suite=texts, wait_s=wait)
            else:
                given_plan = plan_of_options(suite or "", options) if plan is None else _plan_in(plan)
                terminal.private = given_plan.private
                if plan is not None and suite is not None:
                    given_plan = _of_suite(given_plan, suite, options["columns"])
                run = run_benchmark(given_plan, observer, wait_s=wait)
    except (HybridError, KeyboardInterrupt) as error:
        say_how_to_go_on(terminal, error, resume)
        if isinstance(error, Stopped):
            ctx.exit(error.exit_code)
        raise
    if terminal.finished and terminal.finished.busy:
        from hybrid.measuring.probes import busy_clause

        notice(f"This was {busy_clause(terminal.finished.busy)}")
    medians = speedups(terminal.last)
    medians = medians and f" Speed-up over the LLM, end to end: {medians} (medians)."
    say(f"All {run.planned} answers are stored.{medians} `hybrid compare` says more.")
    out(run.run_id)


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="RUN...")
@with_options([option for option in PLAN_OPTIONS if option.name == "label"])
def private(names: tuple[str, ...], label: str | None) -> None:
    """Store a copy of RUNs without their texts; the ids of the copies are the last lines.

    A copy has times, lengths, statistics and keyed hashes, no source, reference, answer or name of a
    file, and compares like the run itself, which stays. A metric that it lacks can never be added.
    """
    from hybrid.benchmark.private import make_private
    from hybrid.store import find_run

    with Terminal() as terminal:
        run_ids = dict.fromkeys(map(find_run, names))
        copies = [make_private(run_id, terminal, label=label or "") for run_id in run_ids]
    for copy in copies:
        out(copy)


def _plan_in(name: str) -> Plan:
    from hybrid.benchmark.plans import LARGEST_FILE, decode_plan, load_plan

    from_stdin = name == "-"
    plan = (
        decode_plan(standard_input(LARGEST_FILE), "standard input") if from_stdin else load_plan(Path(name))
    )
    if sentence := threads_notice(plan.threads):
        notice(sentence)
    return plan


def _of_suite(plan: Plan, suite: str, columns: Mapping[str, str] | None) -> Plan:
    """Name the suite of a private plan. Raises click.UsageError for any other."""
    if not plan.private:
        raise click.UsageError("--plan says all that is measured; leave out SUITE.")
    return replace(plan, suite=suite, columns=columns or {})


def _suite_beside(
    terminal: Terminal, run_id: str, suite: str | None, columns: Mapping[str, str] | None
) -> Suite | None:
    """Load the suite of a private run that goes on. Raises click.UsageError for any other."""
    from hybrid.store import run_of
    from hybrid.suites import load_suite

    plan = run_of(run_id).plan
    terminal.private = plan.private
    if suite is None:
        return None
    if not plan.private:
        raise click.UsageError("--resume goes on with the stored plan and texts; leave out SUITE.")
    return load_suite(suite, plan.task, columns)


def say_how_to_go_on(terminal: Terminal, error: BaseException, resumed: str | None) -> None:
    """Of a run that ended early and is kept: its state, and its id as the last line.

    resumed: as --resume names it. Of one that was interrupted before it began: that nothing is there.
    """
    interrupted = terminal.interrupted
    if interrupted is None and isinstance(error, Stopped):
        left = (
            "nothing was stored" if resumed is None else "the run is as it was, and the same command goes on"
        )
        notice(f"Interrupted before anything was measured; {left}.")
    if interrupted is None:
        return
    if not isinstance(error, StoreError):  # it says so itself
        how = f"`hybrid bench --resume {interrupted.run_id}`"
        if interrupted.done == interrupted.planned:
            notice(
                f"All {interrupted.planned} answers are stored, and scores or memory lack; {how} adds them."
            )
        else:
            notice(f"{interrupted.done} of {interrupted.planned} answers are stored; {how} goes on.")
    out(interrupted.run_id)


@contextmanager
def _logged(terminal: Terminal, path: str | None) -> Iterator[Observer]:
    """Observe for the terminal and, where a file is named, write its lines; how the block fails is one."""
    if path is None:
        yield terminal
        return
    from hybrid.benchmark.jobs.folder import EventLog

    with EventLog(Path(path)) as log:

        def both(event: Event, /) -> None:
            log(event)
            terminal(event)

        try:
            yield both
        except Exception as error:
            log(Failed(error=type(error).__name__, sentence=_sentence(error, terminal.private)))
            raise


def _sentence(error: Exception, private: bool) -> str:
    """Write an error for a file. private: most may quote texts, or what names them."""
    name = type(error).__name__
    if private and not isinstance(error, WITHOUT_TEXTS):
        return f"It ended with {name}, which may quote a private suite: typed, the command says what it is."
    expected = isinstance(error, HybridError | click.ClickException)
    return str(error) if expected else f"It ended unexpectedly: {name}: {error}"


class Stopped(KeyboardInterrupt):
    """SIGINT or SIGTERM came. exit_code: as a shell reports it, 130 or 143."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.exit_code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped, once: what is then done to end cleanly is not interrupted.

    Python swallows what is raised while an object's finalizer runs; the signal is then sent again.
    """
    # Who starts a command with a signal ignored, as a script's & does, wants it ignored.
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]

    def stop(number: int, _: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    def send_again(number: int) -> None:
        if signal.getsignal(number) is stop:  # else it is too late to end cleanly, or somebody did
            os.kill(os.getpid(), number)

    def swallowed(what: "UnraisableHookArgs") -> None:
        if not isinstance(what.exc_value, Stopped):
            hook(what)
            return
        for each in numbers:
            signal.signal(each, stop)
        threading.Timer(AGAIN_S, send_again, [what.exc_value.number]).start()

    before = {number: signal.signal(number, stop) for number in numbers}
    hook, sys.unraisablehook = sys.unraisablehook, swallowed
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
