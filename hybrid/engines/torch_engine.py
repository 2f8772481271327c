"""The reference engine: greedy decoding in PyTorch, for all three systems alike.

    llm     prompts -> LLM encoder                                     -> LLM decoder -> answers
    slm     prompts -> SLM encoder                                     -> SLM decoder -> answers
    hybrid  prompts -> LLM encoder -> projector, fusion, SLM encoder   -> SLM decoder -> answers

It gives the ids of transformers' greedy generate() without its overhead per
token, for one prompt or a batch. It yields a Step at every phase boundary and
has no clock: measure.timed stands outside.

Letters: B prompts, N tokens of all prompts, one after another; D model width.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import torch

from hybrid.engines.layout import Layout
from hybrid.engines.t5_batch_decoder import T5BatchDecoder
from hybrid.engines.t5_decoder import T5Decoder
from hybrid.engines.t5_encoder import T5Encoder
from hybrid.engines.t5_layers import Target, check_supported
from hybrid.errors import EngineError
from hybrid.model.bundle import Bundle
from hybrid.model.fusion import fuse
from hybrid.model.prompt import encode_prompts
from hybrid.schema import SYSTEMS, FinishReason, Sampling, Step, System


class TorchEngine:
    """One system of a bundle, ready to answer; it serves one generation at a time.

    device: where it runs; dtype: float32 on the CPU and bfloat16 on a GPU when
    None. threads: of torch on the CPU, set for whoever iterates `generate`;
    None leaves them alone. Raises EngineError when it cannot run here.

    As attributes, what a benchmark records: name, device and dtype, such as
    "cuda" and "bfloat16"; synchronize waits for the device, None where nothing
    is left running.
    """

    name = "torch"

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
        place = check_device(device)
        on_cpu = place.type == "cpu"
        target = Target(place, dtype or (torch.float32 if on_cpu else torch.bfloat16))
        limit = bundle.max_prompt_tokens
        self.system: System = system
        self.device, self.dtype = str(place), str(target.dtype).removeprefix("torch.")
        self.synchronize = None if on_cpu else partial(torch.accelerator.synchronize, place)
        self._tokenizer, self._limit, self._threads, self._target = bundle.tokenizer, limit, threads, target
        self._eos = int(bundle.tokenizer.eos_token_id)
        self._current: object = None  # the generation whose caches are in use
        with torch.inference_mode():
            reads = bundle.hybrid.llm if system == "hybrid" else bundle.model(system)
            self._reader = _Reader(reads, target, limit)
            self._fusion = _Fusion(bundle.hybrid, target, limit) if system == "hybrid" else None
            writer = bundle.hybrid.slm if system == "hybrid" else bundle.model(system)
            self._decoder = T5Decoder(writer, target)
            self._batch_decoder = T5BatchDecoder(self._decoder)

    @torch.inference_mode()  # entered anew for each Step: the caller's code between them runs outside it
    def generate(self, task: str, texts: Sequence[str], sampling: Sampling) -> Iterator[Step]:
        """Answer B texts at once: Steps tokenize, encode, (project,) prefill, decode ..., detokenize.

        Ids include the end-of-sequence id. Raises InputError or PromptTooLong
        at the first step when a prompt cannot be answered, or there is none.
        """
        if self._threads is not None and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)  # OpenMP keeps this per thread, so not in __init__
        prompts = encode_prompts(self._tokenizer, task, texts, self._limit, sampling.truncate)
        lengths = tuple(len(prompt.ids) for prompt in prompts)
        self._current = current = object()
        yield Step("tokenize", prompt_tokens=lengths)

        layout = Layout(lengths, self._target)
        prompt_ids = torch.tensor([i for p in prompts for i in p.ids], device=self._target.device)  # (N,)
        states = self._reader(prompt_ids, layout)
        yield Step("encode")
        if self._fusion is not None:
            states = self._fusion(prompt_ids, states, layout)
            yield Step("project")

        self._check_current(current)
        decoder: _Decoder = self._decoder if layout.batch == 1 else self._batch_decoder
        answers = _Answers(layout.batch, None if sampling.ignore_eos else self._eos, sampling.max_new_tokens)
        yield Step("prefill", answers.extend(decoder.prefill(states, layout, sampling.max_new_tokens)))
        while answers.open:
            self._check_current(current)
            yield Step("decode", answers.extend(decoder.step(answers.open, answers.length)))

        written = (str(self._tokenizer.decode(ids, skip_special_tokens=True)) for ids in answers.ids)
        yield Step("detokenize", texts=tuple(written), finish_reasons=answers.finish_reasons)

    def _check_current(self, generation: object) -> None:
        if self._current is not generation:
            raise EngineError("An engine serves one generation at a time; a second one has ended this one.")


class _Decoder(Protocol):
    """What writes: t5_decoder one answer, t5_batch_decoder several, each known by its row."""

    def prefill(self, states: torch.Tensor, layout: Layout, capacity: int) -> dict[int, int]: ...

    def step(self, tokens: Mapping[int, int], position: int) -> dict[int, int]: ...


class _Answers:
    """B answers as they grow, each until it ends with `stop` or holds `limit` ids."""

    def __init__(self, batch: int, stop: int | None, limit: int) -> None:
        self.ids: list[list[int]] = [[] for _ in range(batch)]
        self.open: dict[int, int] = {}  # the last id of each row that has not ended
        self.length = 0  # ids in each of these rows
        self._stop, self._limit = stop, limit

    def extend(self, new: Mapping[int, int]) -> tuple[tuple[int, ...], ...]:
        """Add an id to every row that is open; what each row got, as a Step holds it."""
        got: list[tuple[int, ...]] = [()] * len(self.ids)
        for row, token in new.items():
            self.ids[row].append(token)
            got[row] = (token,)
        self.length += 1
        full = self.length == self._limit
        self.open = {} if full else {row: token for row, token in new.items() if token != self._stop}
        return tuple(got)

    @property
    def finish_reasons(self) -> tuple[FinishReason, ...]:
        return tuple("eos" if ids[-1] == self._stop else "length" for ids in self.ids)


class _Reader:
    """(N,) prompt ids to the (N, D) hidden states of a T5's encoder."""

    def __init__(self, model: Any, target: Target, limit: int) -> None:
        check_supported(model.config)
        self.embeddings = target.put(model.get_input_embeddings().weight)  # (V, D)
        self.encoder = T5Encoder(model.encoder, target, limit)

    def __call__(self, prompt_ids: torch.Tensor, layout: Layout) -> torch.Tensor:
        return self.encoder(self.embeddings[prompt_ids], layout)


class _Fusion:
    """(N, d_llm) hidden states to the (N, d_slm) states of the hybrid's SLM encoder."""

    def __init__(self, hybrid: Any, target: Target, limit: int) -> None:
        self.up, self.down = (
            (target.put(linear.weight), target.put(linear.bias))
            for linear in (hybrid.projector.up, hybrid.projector.down)
        )
        self.how = hybrid.config.fusion
        self.reader = _Reader(hybrid.slm, target, limit)

    def __call__(self, prompt_ids: torch.Tensor, states: torch.Tensor, layout: Layout) -> torch.Tensor:
        linear = torch.nn.functional.linear
        latent = linear(torch.relu(linear(states, *self.up)), *self.down)
        own = self.reader.embeddings[prompt_ids]
        return self.reader.encoder(fuse(own, latent, torch.ones_like(prompt_ids), self.how), layout)


def check_device(device: str | torch.device) -> torch.device:
    """The device of this name; raises EngineError when it cannot be used here."""
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        available = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise EngineError(f"Device {str(device)!r} cannot be used here; available: {available}.") from error
    return torch.device(device)
