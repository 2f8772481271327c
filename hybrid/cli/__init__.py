"""The command `hybrid`: parse, call one function, print.

Data goes to stdout, always as UTF-8; everything else goes to stderr. Exit
codes: 0, 1 (failed, said in one sentence), 2 (wrong usage). Torch and what
stands on it are imported inside the commands, so that `--help` is instant.
"""

import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack

import click

from hybrid.cli.progress import draw
from hybrid.errors import HybridError, InputError
from hybrid.schema import SYSTEMS, TASKS, Generation, Sampling, System


class _Failure(click.ClickException):
    """A failure as one line on stderr, `error: ...`, and exit code 1."""

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"error: {self.message}", file=file, err=True)


class _Commands(click.Group):
    """Turns what the product reports, and an interrupt, into a _Failure."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HybridError as error:
            raise _Failure(str(error)) from error
        except KeyboardInterrupt as error:
            raise _Failure("Interrupted.") from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hybrid-bench")
def main() -> None:
    """A large model reads, a small model writes: LLM-to-SLM, measured side by side."""


class _Limits(TypedDict):
    """The options of `hybrid generate` that are fields of Sampling."""

    max_new_tokens: int
    truncate: bool


@main.command()
@click.argument("text")
@click.option("--task", type=click.Choice(list(TASKS)), default="translate-en-de", show_default=True)
@click.option("--system", type=click.Choice(SYSTEMS), default="hybrid", show_default=True)
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@click.option(
    "--max-new-tokens", type=click.IntRange(1, 4096), default=128, show_default=True, help="Longest answer."
)
@click.option("--truncate", is_flag=True, help="Keep only the beginning of a prompt that is too long.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="CPU threads.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: answer, token ids and times.")
def generate(
    text: str,
    task: str,
    system: System,
    pair: str | None,
    threads: int,
    as_json: bool,
    **limits: Unpack[_Limits],
) -> None:
    """Answer TEXT, or standard input when TEXT is `-`.

    Put `--` before a TEXT that begins with a dash.
    """
    text = _standard_input() if text == "-" else text
    with _status("Starting") as say:
        with _collector_off():
            import torch

            from hybrid.engines.torch_engine import TorchEngine
            from hybrid.measure import timed, warm_up
            from hybrid.model.bundle import load_bundle
            from hybrid.model.prompt import encode_prompt

        torch.set_num_threads(threads)  # for loading too
        bundle = load_bundle(pair, progress=say)
        sampling = Sampling(**limits)
        # Checked before the clock runs: refusals come early, and notices are known.
        prompt = encode_prompt(bundle.tokenizer, task, text, bundle.max_prompt_tokens, sampling.truncate)
        engine = TorchEngine(bundle, system, threads=threads)
        say("Warming up")
        warm_up(engine, task)
        say("Answering")
        generation = timed(engine.generate(task, text, sampling), system)
    for notice in prompt.notices:
        click.echo(f"notice: {notice}", err=True)
    report = _report(generation, bundle.name, task, prompt.notices)
    if as_json:
        _out(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        _out(generation.text)
        click.echo(_summary(report), err=True)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print the manifests as one JSON list.")
def pairs(as_json: bool) -> None:
    """List the pairs of models that are here."""
    from hybrid.model.manifest import available_pairs, zoo

    manifests = available_pairs()
    if as_json:
        _out(json.dumps(list(manifests.values()), ensure_ascii=False, indent=1))
        return
    if not manifests:
        click.echo(f"notice: There are no pairs in {zoo()}.", err=True)
    for name, manifest in manifests.items():
        sizes = ", ".join(f"{system} {n / 1e6:.1f}M" for system, n in manifest["parameters"].items())
        limit = f"up to {manifest['max_prompt_tokens']} prompt tokens"
        _out("\t".join([name, sizes, ", ".join(manifest["tasks"]), limit]))


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), metavar="N", help="[default: 8501 or the next free]")
def app(port: int | None) -> None:
    """Open the bench in the browser."""
    page = Path(__file__).parents[2] / "app.py"
    if not page.is_file():
        raise HybridError(f"{page} is missing; run the bench from a clone installed with `pip install -e .`.")
    arguments = ["-m", "streamlit", "run", str(page)]
    if port is not None:
        arguments += ["--server.port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments])  # signals then reach the server itself


@main.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--stage", "stages", metavar="NAME", multiple=True, help="Only this stage; may be repeated.")
@click.option(
    "--stop-after",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Write a checkpoint and stop; the same command goes on from it.",
)
def train(recipe: Path, stages: tuple[str, ...], stop_after: float | None) -> None:
    """Train the stages of RECIPE, a TOML file, going on from the last checkpoint."""
    from hybrid.training.recipe import load_recipe

    loaded = load_recipe(recipe)
    from hybrid.training.train import train as run

    events = run(loaded, stages or None, stop_after)
    if os.environ.get("RANK", "0") == "0":
        draw(events)
    else:  # one of several processes: the first one draws
        for _ in events:
            pass


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--task", type=click.Choice(list(TASKS)), default="translate-en-de", show_default=True)
@click.option("--system", "systems", type=click.Choice(SYSTEMS), multiple=True, help="[default: all]")
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@click.option("--limit", type=click.IntRange(1), default=500, show_default=True, help="Lines of each file.")
@click.option("--control", is_flag=True, help="Also the hybrid fed with another prompt's latent.")
@click.option("--speed", is_flag=True, help="Measure speed, interleaved on one CPU thread, not quality.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def evaluate(
    files: tuple[Path, ...], task: str, systems: tuple[System, ...], pair: str | None, **options: Any
) -> None:
    """Score the systems of a pair on FILEs of examples: BLEU or ROUGE-L, or speed.

    A FILE is TSV (tag, source, target) or JSONL (source, document, summary).
    """
    with _status("Starting") as say:
        with _collector_off():
            import torch

            from hybrid.cli.reports import quality_reports, speed_reports
            from hybrid.model.bundle import load_bundle

        torch.set_num_threads(1)
        bundle = load_bundle(pair, progress=say)
        chosen = systems or SYSTEMS
        for path in files:
            say(path.name)
            if options["speed"]:
                reports = speed_reports(bundle, path, task, chosen, options["limit"])
            else:
                reports = quality_reports(bundle, path, task, chosen, options["control"], options["limit"])
            for report in reports:
                plain = "\t".join(f"{key} {value}" for key, value in report.items())
                _out(json.dumps(report, ensure_ascii=False) if options["as_json"] else plain)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start + 1}"
        raise InputError(f"Standard input is not UTF-8 text: {where}.") from error


def _out(line: str) -> None:
    click.echo(line.encode("utf-8"))  # whatever the locale


@contextmanager
def _status(first: str) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while something is under way; silent when stderr is no terminal."""
    from rich.console import Console

    with Console(stderr=True).status(first) as status:
        yield status.update


@contextmanager
def _collector_off() -> Iterator[None]:
    """No garbage collection: it is a fifth of the time that importing torch and transformers takes."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _report(generation: Generation, pair: str, task: str, notices: tuple[str, ...]) -> dict[str, Any]:
    """What --json prints; every time is in milliseconds."""
    timing = generation.timing
    return {
        "text": generation.text,
        "system": generation.system,
        "pair": pair,
        "task": task,
        "prompt_tokens": generation.prompt_tokens,
        "token_ids": list(generation.token_ids),
        "finish_reason": generation.finish_reason,
        "timings_ms": {phase: _ms(seconds) for phase, seconds in timing.phases.items()},
        "ttft_ms": _ms(timing.ttft_s),
        "tpot_ms": None if timing.tpot_s is None else _ms(timing.tpot_s),
        "total_ms": _ms(timing.total_s),
        "notices": list(notices),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 4)


def _summary(report: Mapping[str, Any]) -> str:
    pace = "" if report["tpot_ms"] is None else f", then {report['tpot_ms']:.2f} ms per token"
    end = "" if report["finish_reason"] == "eos" else ", cut at --max-new-tokens"
    return (
        f"{report['system']} of {report['pair']}: {report['prompt_tokens']} prompt tokens, "
        f"first token after {report['ttft_ms']:.1f} ms{pace}; "
        f"{len(report['token_ids'])} tokens in {report['total_ms']:.1f} ms{end}"
    )
