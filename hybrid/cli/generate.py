"""`hybrid generate`: one prompt, one answer, its times."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from hybrid.cli.console import notice, out, status
from hybrid.cli.options import engine_options
from hybrid.engines.config import Order
from hybrid.engines.registry import AUTO, best_engines, make_engines
from hybrid.errors import InputError
from hybrid.measuring.collector import collector_off
from hybrid.schema import METHODS, TASKS, Generation, Sampling, System

if TYPE_CHECKING:
    from hybrid.engines.contract import Engine
    from hybrid.models.source import Source


@click.command()
@click.argument("text")
@click.option("--task", type=click.Choice(list(TASKS)), default="translate-en-de", show_default=True)
@click.option("--system", type=click.Choice(list(METHODS)), default="hybrid", show_default=True)
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@click.option(
    "--max-new-tokens", type=click.IntRange(1, 4096), default=128, show_default=True, help="Longest answer."
)
@click.option("--truncate", is_flag=True, help="Keep only the beginning of a prompt that is too long.")
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: answer, token ids and times.")
def generate(text: str, task: str, system: System, pair: str | None, as_json: bool, **options: Any) -> None:
    """Answer TEXT, or standard input when TEXT is `-`.

    Put `--` before a TEXT that begins with a dash.
    """
    text = _standard_input() if text == "-" else text
    sampling = Sampling(options["max_new_tokens"], truncate=options["truncate"])
    with status("Starting") as say:
        with collector_off():
            from hybrid.measuring.clock import timed, warm_up
            from hybrid.models.prompt import encode_prompt
            from hybrid.models.source import ZooSource

        source = ZooSource(pair, progress=say)
        # Checked before the clock runs: refusals come early, and notices are known.
        limit = source.max_prompt_tokens
        prompt = encode_prompt(source.tokenizer(), task, text, limit, sampling.truncate)
        engine = _engine(source, system, say, options)
        say("Warming up")
        warm_up(engine, task)
        say("Answering")
        steps = engine.generate(task, [text], sampling)
        (generation,) = timed(steps, system, synchronize=engine.synchronize)
    for sentence in prompt.notices:
        notice(sentence)
    report = _report(generation, engine, source.name, task, prompt.notices)
    if as_json:
        out(json.dumps(report, ensure_ascii=False, indent=1))
    else:
        out(generation.text)
        click.echo(_summary(report), err=True)


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start + 1}"
        raise InputError(f"Standard input is not UTF-8 text: {where}.") from error


def _engine(
    source: "Source", system: System, say: Callable[[str], None], options: Mapping[str, Any]
) -> "Engine":
    order = Order(
        source,
        (system,),
        options["device"],
        options["dtype"],
        options["threads"],
        options["engine_option"],
        say,
    )
    if options["engine"] != AUTO:
        return make_engines(options["engine"], order)[system]
    return best_engines(order, notice)[1][system]


def _report(
    generation: Generation, engine: "Engine", pair: str, task: str, notices: tuple[str, ...]
) -> dict[str, Any]:
    """What --json prints; every time is in milliseconds."""
    timing = generation.timing
    return {
        "text": generation.text,
        "system": generation.system,
        "pair": pair,
        "engine": engine.name,
        "device": engine.device,
        "dtype": engine.dtype,
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
        f"{report['system']} of {report['pair']}, engine {report['engine']}: "
        f"{report['prompt_tokens']} prompt tokens, "
        f"first token after {report['ttft_ms']:.1f} ms{pace}; "
        f"{len(report['token_ids'])} tokens in {report['total_ms']:.1f} ms{end}"
    )
