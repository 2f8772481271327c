"""The reference engine: greedy decoding in PyTorch, batch 1, for all three systems alike.

    llm     prompt -> LLM encoder                                     -> LLM decoder -> answer
    slm     prompt -> SLM encoder                                     -> SLM decoder -> answer
    hybrid  prompt -> LLM encoder -> projector, fusion, SLM encoder   -> SLM decoder -> answer

It gives the ids of transformers' greedy generate() without its overhead per
token. It yields a Step at every phase boundary and has no clock: measure.timed
stands outside. Letters: S prompt tokens, D model width.
"""

from collections.abc import Iterator
from typing import Any

import torch

from hybrid.engines.t5_decoder import T5Decoder
from hybrid.engines.t5_encoder import T5Encoder
from hybrid.engines.t5_layers import Target, check_supported
from hybrid.errors import EngineError
from hybrid.model.bundle import Bundle
from hybrid.model.fusion import fuse
from hybrid.model.prompt import encode_prompt
from hybrid.schema import SYSTEMS, Sampling, Step, System


class TorchEngine:
    """One system of a bundle, ready to answer; it serves one generation at a time.

    device: where it runs; dtype: float32 on the CPU and bfloat16 on a GPU when
    None. threads: of torch on the CPU, set for whoever iterates `generate`;
    None leaves them alone. Raises EngineError when it cannot run here.
    """

    def __init__(
        self,
        bundle: Bundle,
        system: System,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
        threads: int | None = None,
    ) -> None:
        if system not in SYSTEMS:
            raise EngineError(f"There is no system {system!r}; available: {', '.join(SYSTEMS)}.")
        target = _target(device, dtype)
        limit = bundle.max_prompt_tokens
        self.system: System = system
        self._tokenizer, self._limit, self._threads, self._target = bundle.tokenizer, limit, threads, target
        self._eos = int(bundle.tokenizer.eos_token_id)
        self._current: object = None  # the generation whose caches are in use
        with torch.inference_mode():
            self._reader = _Reader(bundle.slm if system == "slm" else bundle.llm, target, limit)
            self._fusion = _Fusion(bundle.hybrid, target, limit) if system == "hybrid" else None
            writer = bundle.hybrid.slm if system == "hybrid" else bundle.model(system)
            self._decoder = T5Decoder(writer, target)

    @torch.inference_mode()  # entered anew for each Step: the caller's code between them runs outside it
    def generate(self, task: str, text: str, sampling: Sampling) -> Iterator[Step]:
        """Answer `text`: Steps tokenize, encode, (project,) prefill, decode ..., detokenize.

        Ids include the end-of-sequence id. Raises InputError or PromptTooLong
        at the first step when the prompt cannot be answered.
        """
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # OpenMP keeps this per thread, so not in __init__
        prompt = encode_prompt(self._tokenizer, task, text, self._limit, sampling.truncate)
        self._current = current = object()
        yield Step("tokenize", prompt_tokens=len(prompt.ids))

        prompt_ids = torch.tensor(prompt.ids, device=self._target.device)
        states = self._reader(prompt_ids)
        yield Step("encode")
        if self._fusion is not None:
            states = self._fusion(prompt_ids, states)
            yield Step("project")

        decoder, stop = self._decoder, None if sampling.ignore_eos else self._eos
        self._check_current(current)
        decoder.reserve(sampling.max_new_tokens)
        ids = [decoder.prefill(states)]
        yield Step("prefill", (ids[-1],))
        while ids[-1] != stop and len(ids) < sampling.max_new_tokens:
            self._check_current(current)
            ids.append(decoder.step(ids[-1], len(ids)))
            yield Step("decode", (ids[-1],))

        answer = str(self._tokenizer.decode(ids, skip_special_tokens=True))
        yield Step("detokenize", text=answer, finish_reason="eos" if ids[-1] == stop else "length")

    def _check_current(self, generation: object) -> None:
        if self._current is not generation:
            raise EngineError("An engine serves one generation at a time; a second one has ended this one.")


class _Reader:
    """(S,) prompt ids to the (S, D) hidden states of a T5's encoder."""

    def __init__(self, model: Any, target: Target, limit: int) -> None:
        check_supported(model.config)
        self.embeddings = target.put(model.get_input_embeddings().weight)  # (V, D)
        self.encoder = T5Encoder(model.encoder, target, limit)

    def __call__(self, prompt_ids: torch.Tensor) -> torch.Tensor:
        return self.encoder(self.embeddings[prompt_ids])


class _Fusion:
    """(S, d_llm) hidden states to the (S, d_slm) states of the hybrid's SLM encoder."""

    def __init__(self, hybrid: Any, target: Target, limit: int) -> None:
        self.up, self.down = (
            (target.put(linear.weight), target.put(linear.bias))
            for linear in (hybrid.projector.up, hybrid.projector.down)
        )
        self.how = hybrid.config.fusion
        self.reader = _Reader(hybrid.slm, target, limit)

    def __call__(self, prompt_ids: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        linear = torch.nn.functional.linear
        latent = linear(torch.relu(linear(states, *self.up)), *self.down)
        own = self.reader.embeddings[prompt_ids]
        return self.reader.encoder(fuse(own, latent, torch.ones_like(prompt_ids), self.how))


def _target(device: str | torch.device, dtype: torch.dtype | None) -> Target:
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        available = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise EngineError(f"Device {str(device)!r} cannot be used here; available: {available}.") from error
    place = torch.device(device)
    return Target(place, dtype or (torch.float32 if place.type == "cpu" else torch.bfloat16))
