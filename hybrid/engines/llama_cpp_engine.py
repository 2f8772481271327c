"""A peer to compare with: llama.cpp, what one would run a decoder-only model in on a CPU.

    llama.cpp       Q8_0: blocks of 32 weights in 8 bits with a scale each
    llama.cpp-q4    Q4_1: in 4 bits with a scale and an offset each, embeddings and head in Q8_0
    llama.cpp-fp32  float32

Through its C API as the package cyllama has it, one llama_decode() a step: `prefill` is
that of the whole prompts with the choice of the first ids, `decode` that of one id more
for each answer. (The package xllamacpp has llama.cpp's server alone: its ids come back as
text, it opens a port and takes over Ctrl-C.) Keys and values are cached as llama.cpp does
it, in float16, by llama.cpp-fp32 in float32. A hybrid's fused embeddings it is not given.

Prebuilt wheels for x86 of either package use AVX2: a build of llama.cpp for a CPU with
AVX-512 may be faster than what is measured here.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.generation import GenerationGuard
from hybrid.errors import EngineError
from hybrid.models.context import check_room, contexts_of
from hybrid.schema import CPU, METHODS, EncodedPrompt, Sampling, Step

if TYPE_CHECKING:
    from cyllama.llama.llama_cpp import LlamaModel  # an optional package

NAMES = {"int8": "llama.cpp", "int4": "llama.cpp-q4", "float32": "llama.cpp-fp32"}
WEIGHTS = {"int8": "Q8_0", "int4": "Q4_1", "float32": "F32"}
ROOM = 256  # positions: llama.cpp rounds up to these itself
FLOAT32 = 0  # of ggml_type


def unavailable_reason(device: str) -> str | None:
    """Why llama.cpp cannot run on `device` here, in a sentence; None when it can."""
    if device != "cpu":
        return f"The engine llama.cpp runs on the CPU only, not on {device!r}; choose --device cpu."
    missing = [name for name in ("cyllama", "gguf") if find_spec(name) is None]
    if missing:
        return f"The package {missing[0]} is not installed; pip install 'hybrid-bench[peers]' brings it."
    return None


def create_engines(config: EngineConfig) -> dict[str, Engine]:
    """llama.cpp's model for each method. Raises EngineError when it cannot run one."""
    from hybrid.engines.llama_cpp_models import load_model

    return {
        method: LlamaCppEngine(method, load_model(config, METHODS[method].models[0]), config)
        for method in config.methods
    }


class LlamaCppEngine:
    """One decoder-only model of a pair by llama.cpp."""

    device = CPU
    synchronize = None

    def __init__(self, method: str, model: "LlamaModel", config: EngineConfig) -> None:
        self.method = method
        self.name, self.dtype = NAMES[config.dtype], config.dtype
        self.options = {"weights": WEIGHTS[config.dtype]}
        self._eos = config.source.codec(method).eos_ids
        self._contexts = contexts_of(map(config.source.config, METHODS[method].models))
        self._model, self._threads = model, config.threads
        self._longest_prompt = config.source.max_prompt_tokens
        self._cache: _Cache | None = None
        self._guard = GenerationGuard()

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps prefill, decode and so on."""
        return self._guard.follow(self._steps(prompts, sampling))

    def _steps(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        unread: dict[int, Sequence[int]] = {row: prompt.token_ids for row, prompt in enumerate(prompts)}
        longest = max(map(len, unread.values()))
        check_room(self._contexts, longest, sampling.max_new_tokens)
        cache = self._cleared(len(prompts), longest, sampling.max_new_tokens)
        stop = () if sampling.ignore_eos else self._eos
        for count in range(sampling.max_new_tokens):
            new = cache.read(unread)
            yield Step(
                "decode" if count else "prefill",
                tuple((new[row],) if row in new else () for row in range(len(prompts))),
            )
            unread = {row: (token,) for row, token in new.items() if token not in stop}
            if not unread:
                return

    def _cleared(self, batch: int, prompt: int, answer: int) -> "_Cache":
        """Give an empty cache for B rows of so many tokens, the one before where it is large enough."""
        if self._cache is None or self._cache.batch != batch or self._cache.length < prompt + answer:
            self._cache = None  # before its successor takes memory
            room = max(prompt, self._longest_prompt) + answer  # so that a longer prompt finds it as it is
            self._cache = _Cache(self._model, batch, room, self._threads, self.dtype == "float32")
        self._cache.clear()
        return self._cache


class _Cache:
    """What llama.cpp keeps of B rows of at most `length` tokens, and what reads on in them."""

    def __init__(self, model: "LlamaModel", batch: int, length: int, threads: int, exact: bool) -> None:
        from cyllama.llama import llama_cpp

        self.batch, self.length = batch, -(-length // ROOM) * ROOM
        settings = llama_cpp.LlamaContextParams()
        settings.n_ctx = settings.n_batch = batch * self.length  # n_batch: what one call takes
        settings.n_seq_max = batch
        settings.n_threads = settings.n_threads_batch = threads
        if exact:
            settings.type_k = settings.type_v = FLOAT32
        try:
            self._context = llama_cpp.LlamaContext(model, settings, verbose=False)
        except RuntimeError as error:
            size = f"{batch} x {self.length} tokens"
            raise EngineError(f"llama.cpp has no memory for {size}: {error}") from error
        self._tokens = llama_cpp.LlamaBatch(n_tokens=batch * self.length, embd=0, n_seq_max=1)
        self._greedy = llama_cpp.LlamaSampler(llama_cpp.LlamaSamplerChainParams())
        self._greedy.add_greedy()
        self._read = [0] * batch

    def clear(self) -> None:
        """Forget all rows."""
        self._context.kv_cache_clear(False)
        self._read = [0] * self.batch

    def read(self, unread: Mapping[int, Sequence[int]]) -> dict[int, int]:
        """Read ids of some rows and give the most likely one after each."""
        self._tokens.clear()
        last = {}
        for row, ids in unread.items():
            for place, token in enumerate(ids, 1):
                self._tokens.add(token, self._read[row] + place - 1, [row], place == len(ids))
            self._read[row] += len(ids)
            last[row] = self._tokens.n_tokens - 1
        try:
            self._context.decode(self._tokens)
        except (ValueError, RuntimeError) as error:
            raise EngineError(f"llama.cpp cannot read these ids: {error}") from error
        return {row: self._greedy.sample(self._context, place) for row, place in last.items()}
