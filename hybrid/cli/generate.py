"""`hybrid generate`: one prompt, one answer, its times."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hybrid.cli.console import Terminal, notice, out, out_json, say, standard_input
from hybrid.cli.options import engine_options
from hybrid.engines.contract import Engine, EngineConfig, LoadedSystem
from hybrid.engines.registry import AUTO, best_engines, create_engines
from hybrid.errors import InputError
from hybrid.measuring import collector_off, settled_heap
from hybrid.schema import (
    LARGEST_PROMPT,
    LOSSLESS,
    METHODS,
    Generation,
    Observer,
    Sampling,
    Status,
    System,
)

if TYPE_CHECKING:
    from hybrid.models.sources import ZooSource


@click.command()
@click.argument("text")
@click.option("--task", metavar="NAME", help="See `hybrid pairs`. [default: the pair's first]")
@click.option(
    "--system", type=click.Choice(list(METHODS)), default="hybrid", show_default=True, help=LOSSLESS
)
@click.option("--pair", metavar="NAME", help="See `hybrid pairs`. [default: the first]")
@click.option(
    "--max-new-tokens", type=click.IntRange(1, 4096), default=128, show_default=True, help="Longest answer."
)
@click.option("--truncate", is_flag=True, help="Keep only the beginning of a prompt that is too long.")
@engine_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: answer, token ids and times.")
def generate(
    text: str, task: str | None, system: str, pair: str | None, as_json: bool, **options: Any
) -> None:
    """Answer TEXT, or standard input when TEXT is `-`.

    Put `--` before a TEXT that begins with a dash.
    """
    text = _standard_input() if text == "-" else text
    sampling = Sampling(options["max_new_tokens"], truncate=options["truncate"])
    with Terminal() as terminal:
        terminal(Status(sentence="Starting"))
        with collector_off():
            from hybrid.measuring.answers import measure_answers, warm_up_for
            from hybrid.models.sources import ZooSource

        source = ZooSource(pair, observer=terminal)
        # Checked before the engine is made: refusals come early, and notices are known.
        codec = source.codec(system)
        task = task or next(iter(codec.tasks))
        notices = codec.notices(task, text, sampling.truncate)
        loaded = _loaded(source, System(system), terminal, options)
        terminal(Status(sentence="Warming up"))
        warm_up_for(loaded, task, text, sampling)
        terminal(Status(sentence="Answering"))
        with settled_heap():
            (generation,) = measure_answers(loaded, task, [text], sampling)
    if generation.timing.disturbed:
        notices += ("These are not its own times, as the process was stopped or starved meanwhile.",)
    for sentence in notices:
        notice(sentence)
    report = _report(generation, loaded.engine, source.name, task, notices)
    if as_json:
        out_json(report)
    else:
        out(generation.text, data=True)
        say(_summary(report))


def _standard_input() -> str:
    try:
        return standard_input(LARGEST_PROMPT).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = f"{error.reason} at byte {error.start + 1}"
        raise InputError(f"Standard input is not UTF-8 text: {where}.") from error


def _loaded(
    source: "ZooSource", system: System, observer: Observer, options: Mapping[str, Any]
) -> LoadedSystem:
    config = EngineConfig(
        source,
        (system.method,),
        options["device"],
        options["dtype"],
        options["threads"],
        options["engine_option"],
        observer,
    )
    name = options["engine"]
    engines = best_engines(config)[1] if name == AUTO else create_engines(name, config)
    return LoadedSystem(system=system, engine=engines[system.method], codec=source.codec(system.method))


def _report(
    generation: Generation, engine: Engine, pair: str, task: str, notices: tuple[str, ...]
) -> dict[str, Any]:
    """Give what --json prints; every time is in milliseconds."""
    timing = generation.timing
    return {
        "text": generation.text,
        "system": generation.system,
        "pair": pair,
        "engine": engine.name,
        "device": engine.device,
        "dtype": engine.dtype,
        "options": dict(engine.options),
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
