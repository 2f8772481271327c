"""`hybrid generate`: one prompt, one answer, its times."""

import json
import sys
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import click

from hybrid.cli.console import collector_off, notice, out, status
from hybrid.errors import InputError
from hybrid.schema import SYSTEMS, TASKS, Generation, Sampling, System


class _Limits(TypedDict):
    """The options of `hybrid generate` that are fields of Sampling."""

    max_new_tokens: int
    truncate: bool


@click.command()
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
    with status("Starting") as say:
        with collector_off():
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
        (generation,) = timed(engine.generate(task, [text], sampling), system)
    for sentence in prompt.notices:
        notice(sentence)
    report = _report(generation, bundle.name, task, prompt.notices)
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
