"""Peak memory of one system, from a process of its own: no other model, and nothing left of one.

    python -P -m hybrid.measuring.memory < request.json > memory.json

The peak is that of the whole life of the process, so reading the weights is
part of it. It is taken in a pass of its own because watching would disturb the clock.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hybrid.errors import EngineError, HybridError
from hybrid.measuring.answers import warm_up
from hybrid.schema import Device, Example, Memory, Plan, System
from hybrid.store.folders import ROOT
from hybrid.store.typed_json import decode, encode

OUT_OF_MEMORY = ("out of memory", "allocate memory", "ALLOC_FAILED")  # torch's words: GPU, CPU, cuBLAS
TIMEOUT_S = 900.0  # far more than one batch may take; a process that hangs must not hold the run


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What the process is told. texts: to be answered at once."""

    plan: Plan
    system: System
    texts: tuple[str, ...]


def peak_memory(plan: Plan, system: System, examples: Sequence[Example]) -> Memory:
    """Memory that `system` needs for the longest of `examples`, as many at once as the plan says.

    As many tokens are written as the plan allows. Raises EngineError when the process fails.
    """
    longest = sorted((example.source for example in examples), key=len)[-plan.batch_size :]
    request = encode(_Request(plan=plan, system=system, texts=tuple(longest))).decode()
    # -P: else `-m` would run a json.py of the current folder before the library's.
    command = [sys.executable, "-P", "-m", "hybrid.measuring.memory"]
    try:
        done = subprocess.run(
            command,
            input=request,
            capture_output=True,
            encoding="utf-8",
            timeout=TIMEOUT_S,
            check=True,
            env=module_environment(),
        )
        return decode(Memory, done.stdout.splitlines()[-1].encode())
    except subprocess.CalledProcessError as error:
        reason = next(reversed(error.stderr.strip().splitlines()), f"exit code {error.returncode}")
    except (ValueError, TypeError, IndexError):
        reason = "its process gave no figures"
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(error)
    raise EngineError(f"The memory of {system} was not measured: {reason}")


def module_environment() -> dict[str, str]:
    """Return this process's environment, in which a Python finds the same `hybrid`, installed or not."""
    if ROOT.name in ("site-packages", "dist-packages"):
        return dict(os.environ)  # found anyway, and there only after the standard library
    # An empty entry would be the current folder.
    others = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *others])}


def measure(plan: Plan, system: System, texts: Sequence[str]) -> Memory:
    """Measure this process's memory before and after `system` is loaded and has answered `texts` at once."""
    import hybrid.models.bundle  # noqa: F401  # libraries first: they are not the model's memory
    from hybrid.engines.registry import load_engines

    on_gpu = _gpu_is_ready(plan.device)
    before = peak_resident()
    loaded = load_engines(plan, [system])[1][system]
    warm_up(loaded, plan.task, texts, plan.sampling.max_new_tokens)
    return Memory(resident=peak_resident(), before_model=before, device=_gpu_peak() if on_gpu else 0)


@contextmanager
def running_out_of_memory(sentence: str, fix: str = "Free some of it.") -> Iterator[None]:
    """Turn running out of memory in the block into an EngineError: what did not fit, and the fix."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        raise EngineError(f"{sentence} {fix}") from error


def peak_resident() -> int:
    """Return the most bytes this process has had in memory so far."""
    try:
        # Not getrusage() on Linux: its peak begins with that of the parent, a benchmark with all its models.
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _gpu_is_ready(device: Device) -> bool:
    """Whether `device` is a GPU; if so, its libraries are in memory now."""
    import torch

    if device.kind == "cpu":
        return False
    torch.zeros(1, device=device)
    return True


def _gpu_peak() -> int:
    """Return the most bytes that this process has had on all GPUs: an LLM may lie on several."""
    import torch

    return sum(int(torch.cuda.max_memory_allocated(n)) for n in range(torch.cuda.device_count()))


def main() -> None:
    """Answer one request on standard input with one line on standard output."""
    request = decode(_Request, sys.stdin.read().encode())
    try:
        memory = measure(request.plan, request.system, request.texts)
    except HybridError as error:
        sys.exit(str(error))
    sys.stdout.write(encode(memory).decode())


if __name__ == "__main__":
    main()
