"""A peer to compare with: CTranslate2, what one would run a translation model in on a CPU.

    ctranslate2       int8 matrices
    ctranslate2-fp32  float32

It takes tokens and gives tokens, so it runs the LLM and the SLM, but no hybrid,
whose SLM reads fused embeddings. It reads the prompt and writes in one call:
the time of reading is part of that to the first token.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.generation import GenerationState, HandOver, Worker
from hybrid.errors import EngineError
from hybrid.models.context import check_room, contexts_of
from hybrid.schema import CPU, EncodedPrompt, Model, Sampling, Step

if TYPE_CHECKING:
    from ctranslate2 import Translator  # an optional package

MODELS: dict[str, Model] = {"llm": "llm", "slm": "slm"}  # by method


def unavailable_reason(device: str) -> str | None:
    """Why CTranslate2 cannot run on `device` here, in a sentence; None when it can."""
    if device != "cpu":
        return f"The engine ctranslate2 runs on the CPU only, not on {device!r}; choose --device cpu."
    if find_spec("ctranslate2") is None:
        return "The package ctranslate2 is not installed; pip install 'hybrid-bench[peers]' brings it."
    return None


def create_engines(config: EngineConfig) -> dict[str, Engine]:
    """CTranslate2's translator for each method. Raises EngineError when it cannot run one."""
    for method in config.methods:
        if method not in MODELS:
            raise EngineError(
                f"CTranslate2 takes tokens, not the fused embeddings of a hybrid, and cannot verify drafts: "
                f"{method} is not possible; available: {', '.join(MODELS)}."
            )
    from hybrid.engines.ctranslate2_models import load_translator

    return {
        method: CTranslate2Engine(method, load_translator(config, MODELS[method]), config)
        for method in config.methods
    }


class CTranslate2Engine:
    """One model of a pair by CTranslate2; what else is asked of it while it answers waits."""

    device = CPU
    synchronize = None

    def __init__(self, method: str, translator: "Translator", config: EngineConfig) -> None:
        self.method = method
        self.name = "ctranslate2" if config.dtype == "int8" else "ctranslate2-fp32"
        self.dtype = config.dtype
        self.options = {"compute_type": str(translator.compute_type)}  # what int8 came to on this CPU
        self._eos = config.source.codec(method).eos_ids
        self._contexts = contexts_of([config.source.config(MODELS[method])])
        self._translator = translator
        self._worker: Worker[Any] = Worker()

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps prefill, which encodes the prompts as well, and decode."""
        longest = max(len(prompt.token_ids) for prompt in prompts)
        check_room(self._contexts, longest, sampling.max_new_tokens)
        answers = GenerationState(len(prompts), () if sampling.ignore_eos else self._eos)
        tokens = [[str(token) for token in prompt.token_ids] for prompt in prompts]
        results = self._worker.stream(partial(self._translate, tokens, sampling))
        for count, new in enumerate(_steps(results, len(prompts))):
            yield Step("decode" if count else "prefill", answers.extend(new))

    def _translate(self, tokens: list[list[str]], sampling: Sampling, tell: HandOver[Any]) -> None:
        self._translator.translate_batch(
            tokens,
            beam_size=1,
            max_input_length=0,  # no limit of its own
            max_decoding_length=sampling.max_new_tokens,
            min_decoding_length=0,  # 1 would forbid to end at once
            end_token=[] if sampling.ignore_eos else list(map(str, self._eos)),
            callback=tell,
        )


def _steps(results: Iterable[Any], batch: int) -> Iterator[list[list[int]]]:
    """Yield the new ids of all rows of a batch, of which CTranslate2 tells one after another.

    A step is complete when every row that has not ended before has its id.
    """
    new: dict[int, int] = {}
    going, ended = batch, 0
    for result in results:
        new[result.batch_id] = int(result.token)
        ended += result.is_last
        if len(new) == going:
            yield [[new[row]] if row in new else [] for row in range(batch)]
            new, going, ended = {}, going - ended, 0
