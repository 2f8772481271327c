"""One block of a run: what one process loads, warms up and measures, as a stream of messages.

    python -P -m hybrid.benchmark.block < request > messages

A line of JSON each way: the request comes first, and after each message the process waits for an
empty line. So nothing is decoded, stored or drawn beside a measurement, and a process whose parent is
gone ends by itself.
"""

import builtins
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import hybrid.errors
from hybrid.benchmark.schedule import measure_records, missing_items, schedule
from hybrid.engines.contract import Engine
from hybrid.engines.registry import load_engines, spec_of
from hybrid.errors import EngineError, HybridError
from hybrid.measuring import collector_off
from hybrid.measuring.environment import environment
from hybrid.measuring.memory import module_environment, running_out_of_memory
from hybrid.measuring.probes import CpuTimes, take_probe
from hybrid.models.arithmetic import token_costs
from hybrid.models.manifest import checked, find_pair, layers_read
from hybrid.models.pair_format import ROLES
from hybrid.models.shapes import Shape, shape_of_config
from hybrid.schema import (
    Environment,
    Event,
    Example,
    Failed,
    Notice,
    Observer,
    Plan,
    Probe,
    Ran,
    Record,
    Status,
    System,
)
from hybrid.store import Key
from hybrid.store.typed_json import convert, decode, encode, plain

COMMAND = (sys.executable, "-P", "-m", "hybrid.benchmark.block")  # -P: no module of the current folder


@dataclass(frozen=True, kw_only=True)
class BlockRequest:
    """What is measured: of `examples`, in their order, the items of `block` that are not `done`.

    weights_sha256: of the pair, for the environment.
    """

    plan: Plan
    examples: tuple[Example, ...]
    block: int = 0
    done: frozenset[Key] = frozenset()
    weights_sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The models are loaded. plan: with what its engine came to. probe: of the machine before."""

    plan: Plan
    environment: Environment
    ran: Mapping[System, Ran]
    probe: Probe


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The records of one item."""

    records: tuple[Record, ...]


@dataclass(frozen=True, kw_only=True)
class Probed:
    """The machine after the block."""

    probe: Probe


Message = Ready | Measured | Probed
Messages = Generator[Message, None, None]
Measure = Callable[[BlockRequest, Observer], Messages]
_KINDS: Mapping[str, type] = {
    kind.__name__: kind for kind in (Ready, Measured, Probed, Status, Notice, Failed)
}


def measure_blocks(request: BlockRequest, observer: Observer) -> Messages:
    """Measure every block that has something missing, whatever request.block is.

    Each has a process of its own, one after another; a run of a single block is
    measured in this one. Raises what the measuring does.
    """
    blocks = {item.block for item in schedule(request.plan, request.examples)}
    measure = in_process if len(blocks) > 1 else measure_block
    missing = {item.block for item in missing_items(request.plan, request.examples, request.done)}
    for block in sorted(missing):
        request = replace(request, block=block)
        with closing(measure(request, observer)) as messages:
            for message in messages:
                if isinstance(message, Ready):
                    request = replace(request, plan=message.plan)  # what `auto` came to holds for all
                yield message


def measure_block(request: BlockRequest, observer: Observer) -> Messages:
    """Load, probe, warm up, measure, probe. Raises EngineError when memory does not suffice."""
    plan, since = request.plan, CpuTimes.now()
    of = f"Block {request.block + 1} of {plan.blocks}: " if plan.blocks > 1 else ""
    observer(Status(sentence=f"{of}Loading the models"))
    with collector_off():
        import hybrid.models.bundle  # noqa: F401  # torch and transformers: seconds
    with running_out_of_memory(f"The pair {plan.pair} does not fit into the memory of {plan.device}."):
        plan, loaded = load_engines(plan, observer=observer)
    observer(Status(sentence=f"{of}Probing the machine"))
    probe = take_probe(plan.device, plan.threads, observer=observer)
    folder, manifest = find_pair(plan.pair)
    shapes = pair_shapes(folder, manifest)
    ran = {system: _ran(ready.engine, shapes) for system, ready in loaded.items()}
    yield Ready(plan=plan, environment=_environment(plan, request.weights_sha256), ran=ran, probe=probe)
    observer(Status(sentence=f"{of}Warming up"))
    stream = measure_records(plan, request.examples, loaded, request.done, block=request.block)
    with running_out_of_memory(*_too_large(plan)):
        for records in stream:
            yield Measured(records=records)
    loaded.clear()
    yield Probed(probe=take_probe(plan.device, plan.threads, since))


def in_process(request: BlockRequest, observer: Observer, command: tuple[str, ...] = COMMAND) -> Messages:
    """Measure a block in a fresh process. Raises what was raised there, and EngineError when it dies.

    It has a session of its own: Ctrl-C reaches this process alone, which then ends it.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=module_environment(),
        start_new_session=True,
    ) as process:
        assert process.stdin is not None, "it is a pipe"
        assert process.stdout is not None, "it is a pipe"
        try:
            _send(process.stdin, encode(plain(request) | {"done": sorted(request.done)}))
            for line in process.stdout:
                if not line.endswith(b"\n"):
                    break  # it died while it wrote
                message = _decode_message(line)
                if isinstance(message, Failed):
                    raise _error(message)
                if isinstance(message, Ready | Measured | Probed):
                    yield message
                else:
                    observer(message)
                _send(process.stdin, b"\n")
            code = process.wait()
        finally:
            process.kill()
            with suppress(BrokenPipeError):  # of what it has not read
                process.stdin.close()
    if code:
        raise _death(request, code)


def main(measure: Measure = measure_block) -> None:
    """Answer the request on standard input with messages on standard output."""
    messages = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no message
    request = decode(BlockRequest, sys.stdin.buffer.readline())

    def tell(message: Message | Event) -> None:
        row = {"kind": type(message).__name__, "message": message}
        messages.write(encode(row))
        messages.flush()
        if not sys.stdin.buffer.readline():
            raise BrokenPipeError  # whoever asked is gone

    try:
        for message in measure(request, tell):
            tell(message)
    except BrokenPipeError:
        os._exit(1)
    except Exception as error:
        if not isinstance(error, HybridError):
            traceback.print_exc()
        with suppress(BrokenPipeError):
            tell(Failed(error=type(error).__name__, sentence=str(error)))
        os._exit(1)


def _send(pipe: IO[bytes], line: bytes) -> None:
    with suppress(BrokenPipeError):  # it has ended: how, its output and exit code tell
        pipe.write(line)
        pipe.flush()


def _decode_message(line: bytes) -> Message | Event:
    row = json.loads(line)
    message: Message | Event = convert(_KINDS[row["kind"]], row["message"])
    return message


def _error(failed: Failed) -> Exception:
    """Make the error again that was raised in the other process."""
    kind = getattr(hybrid.errors, failed.error, None) or getattr(builtins, failed.error, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        error = kind.__new__(kind, failed.sentence)  # its __init__ may want other things than a sentence
        if str(error) == failed.sentence:
            return error
    return RuntimeError(f"{failed.error}: {failed.sentence}")


def _death(request: BlockRequest, code: int) -> EngineError:
    """Say how a process ended that could not say it itself."""
    how = f"signal {-code}" if code < 0 else f"code {code}"
    return EngineError(
        f"The process that measured block {request.block + 1} of {request.plan.blocks} ended with {how}; "
        "perhaps its memory did not suffice. Free some of it, and measure again."
    )


def _too_large(plan: Plan) -> tuple[str, str]:
    """Say what did not fit into memory, and the fix."""
    several = plan.batch_size > 1
    what = f"A batch of {plan.batch_size}" if several else "A single prompt"
    fix = ", or start a new run with a smaller --batch-size" if several else ""
    return f"{what} does not fit into the memory of {plan.device}.", f"Free some of it{fix}."


def pair_shapes(folder: Path, manifest: dict[str, Any]) -> tuple[Shape, Shape] | None:
    """Return the shapes of the LLM and SLM of a pair on disk; None when their kind has no known shape."""
    try:
        configs = [json.loads(checked(folder, f"{m}/config.json", manifest).read_bytes()) for m in ROLES]
        llm, slm = (shape_of_config(folder.name, config, folder.name) for config in configs)
        llm = replace(llm, read_layers=layers_read(folder, manifest))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return llm, slm


def _ran(engine: Engine, shapes: tuple[Shape, Shape] | None) -> Ran:
    """Describe how `engine` runs. shapes: None for models whose arithmetic is not known."""
    weight_bytes, flops, attention = (
        token_costs(engine.method, engine.dtype, *shapes) if shapes else (0, 0, 0)
    )
    return Ran(
        engine=engine.name,
        device=engine.device,
        dtype=engine.dtype,
        options=dict(engine.options),
        decode_bytes=weight_bytes,
        encode_flops=flops,
        attention_flops=attention,
    )


def _environment(plan: Plan, weights_sha256: str) -> Environment:
    names = {plan.engine_of(system) for system in plan.systems}
    packages = {package for name in sorted(names) for package in spec_of(name).packages}
    return environment(plan.device, weights_sha256, sorted(packages))


if __name__ == "__main__":
    main()
