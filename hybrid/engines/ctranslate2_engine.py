"""A peer to compare with: CTranslate2, what one would run a translation model in on a CPU.

    ctranslate2       int8 matrices
    ctranslate2-fp32  float32

It takes tokens and gives tokens, so it runs the LLM and the SLM, but no hybrid,
whose SLM reads fused embeddings: an encoder-decoder by its Translator, a
decoder-only model by its Generator.

It reads the prompt and writes in one call, which tells of each token as soon as
it is chosen. So `prefill` is all up to the first token, an encoder included, and
each `decode` one more. Of decoder-only models it reads, of prompts that are not
equally long, as much at once as the shortest has, and the rest token by token.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from operator import or_
from typing import TYPE_CHECKING, Any

from hybrid.engines.contract import Engine, EngineConfig
from hybrid.engines.generation import GenerationState, HandOver, Worker
from hybrid.models.context import check_room, contexts_of
from hybrid.schema import CPU, METHODS, EncodedPrompt, Sampling, Step

if TYPE_CHECKING:
    from ctranslate2 import Generator, Translator  # an optional package


def unavailable_reason(device: str) -> str | None:
    """Why CTranslate2 cannot run on `device` here, in a sentence; None when it can."""
    if device != "cpu":
        return f"The engine ctranslate2 runs on the CPU only, not on {device!r}; choose --device cpu."
    if find_spec("ctranslate2") is None:
        return "The package ctranslate2 is not installed; pip install 'hybrid-bench[peers]' brings it."
    return None


def create_engines(config: EngineConfig) -> dict[str, Engine]:
    """CTranslate2's translator or generator for each method. Raises EngineError when it cannot run one."""
    from hybrid.engines.ctranslate2_models import load_model

    return {
        method: CTranslate2Engine(method, load_model(config, METHODS[method].models[0]), config)
        for method in config.methods
    }


class CTranslate2Engine:
    """One model of a pair by CTranslate2; what else is asked of it while it answers waits."""

    device = CPU
    synchronize = None

    def __init__(self, method: str, model: "Translator | Generator", config: EngineConfig) -> None:
        self.method = method
        self.name = "ctranslate2" if config.dtype == "int8" else "ctranslate2-fp32"
        self.dtype = config.dtype
        self.options = {"compute_type": str(model.compute_type)}  # what int8 came to on this CPU
        self._eos = config.source.codec(method).eos_ids
        self._contexts = contexts_of(map(config.source.config, METHODS[method].models))
        self._model = model
        self._worker: Worker[Any] = Worker()

    def generate(self, prompts: Sequence[EncodedPrompt], sampling: Sampling) -> Iterator[Step]:
        """Answer B prompts at once: Steps prefill, which encodes the prompts as well, and decode."""
        longest = max(len(prompt.token_ids) for prompt in prompts)
        check_room(self._contexts, longest, sampling.max_new_tokens)
        answers = GenerationState(len(prompts), () if sampling.ignore_eos else self._eos)
        tokens = [[str(token) for token in prompt.token_ids] for prompt in prompts]
        results = self._worker.stream(partial(self._answer, tokens, sampling))
        for count, new in enumerate(_steps(results, len(prompts))):
            yield Step("decode" if count else "prefill", answers.extend(new))

    def _answer(self, tokens: list[list[str]], sampling: Sampling, tell: HandOver[Any]) -> None:
        end = [] if sampling.ignore_eos else list(map(str, self._eos))
        limit = sampling.max_new_tokens
        if not hasattr(self._model, "generate_batch"):
            self._model.translate_batch(
                tokens,
                beam_size=1,
                max_input_length=0,  # no limit of its own
                max_decoding_length=limit,
                min_decoding_length=0,  # 1 would forbid to end at once
                end_token=end,
                callback=tell,
            )
            return
        self._model.generate_batch(
            tokens,
            beam_size=1,
            include_prompt_in_result=False,  # else it would read the prompt token by token
            max_length=limit,
            min_length=0,
            end_token=end,
            callback=tell,
        )


def _steps(results: Iterable[Any], batch: int) -> Iterator[list[list[int]]]:
    """Yield the new ids of all rows of a batch, of which CTranslate2 tells one after another.

    A step is complete when every row that has not ended before has an id more: one
    whose prompt is read sooner may be ahead, see above, and its ids wait.
    """
    waiting: list[deque[int]] = [deque() for _ in range(batch)]
    ended = [False] * batch
    for result in results:
        waiting[result.batch_id].append(int(result.token))
        ended[result.batch_id] = result.is_last
        while any(waiting) and all(map(or_, map(bool, waiting), ended)):
            yield [[ids.popleft()] if ids else [] for ids in waiting]
