"""Bars of the engines on a CPU: speed against peers, lossless mode, equality, start, memory."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hybrid.measuring.answers import answer_unmeasured
from hybrid.measuring.memory import peak_resident
from hybrid.models.sources import Source
from hybrid.schema import MODELS, Sampling
from tests.bars.bar import (
    TASK,
    Bar,
    Measured,
    differing,
    engines,
    ids,
    interleaved,
    prompt_of,
    ratio,
    sentences,
    total_s,
    tpot_s,
)

FIXED = Sampling(32, ignore_eos=True)
NATURAL = Sampling(128)
ROUNDS = 21
DRIFT = 0.05  # of resident memory


def speed(source: Source) -> Measured:
    """One thread, 32 new tokens, interleaved medians of paired ratios in one process."""
    contestants = engines(
        source,
        {"onnx": ("llm", "slm", "hybrid"), "ctranslate2": ("llm", "slm"), "transformers": ("llm",)},
    )
    for tokens, least in ((24, 5.0), (300, 1.7)):
        answers = interleaved(contestants, [prompt_of(source, tokens)], FIXED, ROUNDS)
        llm, hybrid = answers["llm@onnx"], answers["hybrid@onnx"]
        at = f"at {tokens} source tokens"
        for name, own in (("slm", hybrid), ("llm", llm)):
            quotient = ratio(own, answers[f"{name}@ctranslate2"], tpot_s)
            who = "hybrid" if own is hybrid else "LLM"
            peer = f"CTranslate2 int8 on the {name.upper()}"
            yield Bar(f"{who} per token ≤ 0.8 × {peer}, {at}", f"{quotient:.2f} ×", quotient <= 0.8)
        quotient = ratio(llm, hybrid, tpot_s)
        yield Bar(f"LLM / hybrid per token ≥ 9, {at}", f"{quotient:.1f}", quotient >= 9)
        quotient = ratio(llm, hybrid, total_s)
        yield Bar(f"LLM / hybrid, whole request ≥ {least}, {at}", f"{quotient:.2f}", quotient >= least)
        if tokens == 24:
            quotient = ratio(answers["llm@transformers"], hybrid, total_s)
            yield Bar(
                f"transformers on the LLM / hybrid, whole request ≥ 20, {at}",
                f"{quotient:.1f}",
                quotient >= 20,
            )


def lossless(source: Source) -> Measured:
    """Equal on 1,000 sentences, faster on 60 of them; the same engine in float32."""
    for name in ("onnx-fp32", "torch"):
        systems = engines(source, {name: ("llm", "lossless", "lossless-slm", "lossless-lookup")})
        texts = sentences(1000)
        llm_ids = ids(systems[f"llm@{name}"], texts, NATURAL, 1)
        for method in (
            ("lossless", "lossless-slm", "lossless-lookup") if name == "onnx-fp32" else ("lossless",)
        ):
            unlike = differing(ids(systems[f"{method}@{name}"], texts, NATURAL, 1), llm_ids)
            claim = f"{method} in {name} = LLM, token for token, 1,000 sentences"
            yield Bar(claim, f"{unlike} differ", unlike == 0)
        timed = interleaved(systems, sentences(60), NATURAL, 3)
        for method in ("lossless", "lossless-slm", "lossless-lookup"):
            own, least = timed[f"{method}@{name}"], 1.8 if method == "lossless" else 0.0
            quotient = ratio(timed[f"llm@{name}"], own, total_s)
            accepted = sum(answer.accepted for answer in own) / max(1, sum(answer.drafted for answer in own))
            claim = f"LLM / {method} in {name}, whole request" + (f" ≥ {least}" if least else "")
            yield Bar(claim, f"{quotient:.2f}, {100 * accepted:.0f} % of drafts accepted", quotient >= least)


def equality(source: Source) -> Measured:
    """fp32 ONNX = torch on 500 sentences; batch 32 = batch 1 in every precision."""
    texts = sentences(500)
    for model in MODELS:
        systems = engines(source, {"onnx-fp32": (model,), "onnx": (model,), "torch": (model,)})
        by_one = {name: ids(engine, texts, NATURAL, 1) for name, engine in systems.items()}
        unlike = differing(by_one[f"{model}@onnx-fp32"], by_one[f"{model}@torch"])
        yield Bar(f"{model}: ONNX float32 = torch, 500 sentences", f"{unlike} differ", unlike == 0)
        for name in ("onnx-fp32", "onnx"):
            unlike = differing(ids(systems[f"{model}@{name}"], texts, NATURAL, 32), by_one[f"{model}@{name}"])
            yield Bar(f"{model}: batch 32 = batch 1 in {name}", f"{unlike} of 500 differ", unlike == 0)


def start(source: Source) -> Measured:
    """A process that makes the three engines, libraries loaded before; nothing cached, then cached."""
    code = (
        "import sys, time, torch, transformers, onnxruntime, onnx, hybrid.models.bundle as s\n"
        "from hybrid.engines.contract import EngineConfig\n"
        "from hybrid.engines.registry import create_engines\n"
        "begin = time.perf_counter()\n"
        "create_engines('onnx', EngineConfig(s.ZooSource(sys.argv[1]), ('llm', 'slm', 'hybrid'), dtype=''))\n"
        "print(time.perf_counter() - begin)"
    )
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"HYBRID_CACHE": folder, "PYTHONPATH": str(Path(__file__).parents[2])}
        for what in ("built", "from the cache"):
            command = [sys.executable, "-c", code, source.name]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
            seconds = float(done.stdout.split()[-1])
            yield Bar(f"engine start for all three, {what}, < 5 s", f"{seconds:.1f} s", seconds < 5)


def leak(source: Source, generations: int = 10_000) -> Measured:
    """Resident memory after so many answers against that after the first tenth, ± 5 %."""
    loaded = engines(source, {"onnx": ("hybrid",)})["hybrid@onnx"]
    texts = sentences(100)
    early = 0
    for number in range(generations):
        answer_unmeasured(loaded, TASK, [texts[number % 100]], Sampling(16))
        if number == generations // 10:
            early = _resident()
    late = _resident()
    drift = late / early - 1
    claim = f"resident memory over {generations:,} generations within ± 5 %"
    yield Bar(claim, f"{100 * drift:+.1f} % of {early / 1e6:.0f} MB", abs(drift) <= DRIFT)


def _resident() -> int:
    """Bytes in memory now; the peak where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return peak_resident()
    return pages * os.sysconf("SC_PAGE_SIZE")


PARTS = {"speed": speed, "lossless": lossless, "equality": equality, "start": start, "leak": leak}
