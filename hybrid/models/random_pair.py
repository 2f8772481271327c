"""Pairs of any sizes with random weights: how fast a model is does not depend on their values.

Built on the meta device and filled from one block of noise, in the wanted
precision and on the wanted device, so that 3 billion parameters take seconds.
The structure is that of a trained pair: the hybrid reads with the LLM's encoder,
its SLM is its own, and one tokenizer, of plain words, serves all. Words take
the ids that every model knows; the embeddings beyond them are zero, so that no
model ever writes an id that another one cannot read.
"""

import random
import weakref
from collections.abc import Callable, Collection, Iterator, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast
from zlib import crc32

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from hybrid.errors import InputError, PairError
from hybrid.models import architectures
from hybrid.models.arithmetic import bridged
from hybrid.models.bundle import ON_CPU, Bundle, Placement
from hybrid.models.pair import HybridConfig, hybrid_model
from hybrid.models.pair_format import ROLES
from hybrid.models.prompts import TextCodec
from hybrid.models.reading import restore_buffers
from hybrid.models.shape_families import shape_config
from hybrid.models.shapes import Shape
from hybrid.schema import CPU, TASKS, Device, Model

M = TypeVar("M", bound=PreTrainedModel)
PAD, EOS, UNKNOWN = 0, 1, 2
SPECIAL = ("<pad>", "</s>", "<unk>")
TASK = "summarize"  # its prefix is a single word
SHORTEST_PROMPT = 3  # tokens: the prefix, a word and the end
SYLLABLES = tuple(consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou")
Part = tuple[Model, *tuple[Shape, ...]]  # a model of a pair: two shapes may bear one name
BLOCK = 1_048_573  # values of noise; a prime, so that no two rows of a matrix are alike


@dataclass(frozen=True)
class RandomWeights:
    """How random models are made. vocabulary: ids in use, of those that every model knows.

    held: models that other pairs use as well, by role and shapes; kept only as
    long as somebody holds them.
    """

    vocabulary: int
    device: Device = CPU
    dtype: torch.dtype = torch.float32
    max_prompt_tokens: int = 512
    held: MutableMapping[Part, PreTrainedModel] | None = None

    def __post_init__(self) -> None:
        if self.vocabulary < len(_fixed_words()) + 1:
            raise PairError(f"A vocabulary of {self.vocabulary} ids is too small for prompts of words.")


def random_pair(llm: Shape, slm: Shape, make: RandomWeights | None = None) -> "RandomSource":
    """Make a pair of these sizes, built when an engine asks for its models.

    make: how; in float32 on the CPU, with all ids that both models know, when None.
    """
    return RandomSource(llm, slm, make or RandomWeights(min(llm.vocabulary, slm.vocabulary)))


class RandomSource:
    """A Source of models with random weights, which are not worth keeping and have no hash."""

    def __init__(self, llm: Shape, slm: Shape, make: RandomWeights) -> None:
        self.name = f"{llm.name}+{slm.name}"
        self.max_prompt_tokens = make.max_prompt_tokens
        self._llm, self._slm, self._make = llm, slm, make
        held = weakref.WeakValueDictionary[Part, PreTrainedModel]()
        self._models = held if make.held is None else make.held
        self._bundle: weakref.ref[Bundle] | None = None

    def codec(self, method: str) -> TextCodec:
        return TextCodec(word_tokenizer(self._make.vocabulary), self.max_prompt_tokens)

    def spreads(self, device: Device, dtype: str) -> bool:
        return False  # it is built where it runs

    def bundle(self, models: Collection[Model], placement: Placement = ON_CPU) -> Bundle:
        held = self._bundle() if self._bundle else None
        if held is None or not set(models) <= held.models.keys():
            needed = {*models, *(held.models if held else ())}
            tokenizers = dict.fromkeys(ROLES, word_tokenizer(self._make.vocabulary))
            manifest = {"max_prompt_tokens": self.max_prompt_tokens, "tasks": list(TASKS)}
            held = Bundle(self.name, manifest, tokenizers, self._built(needed))
            self._bundle = weakref.ref(held)
        return held

    def config(self, model: Model) -> PretrainedConfig:
        if model == "hybrid":
            reads, writes = model_config(self._llm), model_config(self._slm)
            layers = self._llm.read_layers or None
            return HybridConfig(reads, writes, "add", layers, bridge=bridged(self._llm, self._slm))
        return model_config(self._llm if model == "llm" else self._slm)

    def weights_sha256(self, model: Model) -> None:
        return None

    def _built(self, needed: Collection[Model]) -> dict[Model, PreTrainedModel]:
        models: dict[Model, PreTrainedModel] = {}
        if "llm" in needed:
            models["llm"] = self._model(("llm", self._llm), lambda: random_model(self._llm, self._make))
        if "slm" in needed:
            models["slm"] = self._model(("slm", self._slm), lambda: random_model(self._slm, self._make))
        if "hybrid" in needed:
            reader = models.get("llm") or self._models.get(("llm", self._llm))
            models["hybrid"] = self._model(("hybrid", self._llm, self._slm), lambda: self._hybrid(reader))
        return models

    def _model(self, key: Part, build: Callable[[], PreTrainedModel]) -> PreTrainedModel:
        """Return the model that somebody holds already, or a new one."""
        model = self._models.get(key)
        if model is None:
            self._models[key] = model = build()
        return model

    def _hybrid(self, llm: PreTrainedModel | None) -> PreTrainedModel:
        """LLM encoder, shared with `llm` when there is one, projector, SLM of its own."""
        config = self.config("hybrid")
        assert isinstance(config, HybridConfig), "see config()"
        with torch.device("meta"):
            pair = hybrid_model(config)(config)
        if llm is not None:
            pair.share_encoder(llm)
        pair.slm = random_model(self._slm, self._make, seed=1)
        return filled(pair, self._make).requires_grad_(False).train(False)


def random_model(shape: Shape, make: RandomWeights, seed: int = 0) -> PreTrainedModel:
    """One model of these sizes."""
    model: Any = filled(empty_model(shape), make, seed)
    with torch.no_grad():
        for part in (model.get_input_embeddings(), model.get_output_embeddings()):
            part.weight[make.vocabulary :] = 0
    return cast(PreTrainedModel, model.requires_grad_(False).train(False))


def empty_model(shape: Shape) -> PreTrainedModel:
    """Build the same on the meta device: sizes without memory."""
    model = architectures.empty_model(model_config(shape))
    if not shape.tied_head and shape.kind.positions == "relative":
        _untie_head(model)
    return model


def model_config(shape: Shape) -> PretrainedConfig:
    """Return transformers' configuration of a shape, with the ids of word_tokenizer()."""
    return shape_config(shape, PAD, EOS)


@lru_cache(maxsize=4)
def word_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """One id a word: special ones, the words of the tasks' prefixes, and made-up words for the rest."""
    words = [*_fixed_words(), *_made_up(vocabulary - len(_fixed_words()))]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=SPECIAL[UNKNOWN])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=SPECIAL[PAD], eos_token=SPECIAL[EOS],
        unk_token=SPECIAL[UNKNOWN], clean_up_tokenization_spaces=False,
    )  # fmt: skip


def word_prompts(vocabulary: int, tokens: int, batch: int, seed: int = 0) -> list[str]:
    """Texts that are exactly `tokens` ids each for TASK, its prefix and the end included.

    Raises InputError below SHORTEST_PROMPT.
    """
    if tokens < SHORTEST_PROMPT:
        raise InputError(
            f"A prompt of {tokens} tokens has no room for a word; take {SHORTEST_PROMPT} or more."
        )
    rng, first = random.Random(seed), len(_fixed_words())
    count = tokens - len(TASKS[TASK].prefix.split()) - 1
    return [" ".join(_word(rng.randrange(vocabulary - first)) for _ in range(count)) for _ in range(batch)]


def filled(model: M, make: RandomWeights, seed: int = 0) -> M:
    """`model` with every weight that is still on the meta device made of noise.

    Matrices keep the scale of what they multiply (a variance of 1 over their
    inputs), gains are 1 and biases 0: activations stay finite, also in 16 bits.
    """
    noise = _Noise(make, seed)
    weights = {name: noise.weight(name, p) for name, p in model.named_parameters() if p.is_meta}
    for name, buffer in model.named_buffers():
        if buffer.is_meta:
            weights[name] = torch.zeros(buffer.shape, device=make.device, dtype=make.dtype)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    restore_buffers(model)
    return model


class _Noise:
    """A block of uniform noise of variance 1, dealt out again and again."""

    def __init__(self, make: RandomWeights, seed: int) -> None:
        block = torch.empty(BLOCK).uniform_(-(3**0.5), 3**0.5, generator=torch.Generator().manual_seed(seed))
        self._block = block.to(make.device, make.dtype)
        self._place = 0  # where in the block the next values are taken from

    def weight(self, name: str, like: torch.Tensor) -> torch.Tensor:
        weight = self._block.new_empty(like.shape)
        if like.ndim < 2:
            return weight.fill_(0.0 if name.endswith("bias") else 1.0)
        # By its name, so that a model is the same one whether it is built alone or inside a hybrid.
        self._place = crc32(name.removeprefix("llm.").encode()) % BLOCK
        for piece in self._pieces(weight.view(-1)):
            piece.copy_(self._block[self._place : self._place + len(piece)])
            self._place = (self._place + len(piece)) % BLOCK
        return weight.mul_(like.shape[1] ** -0.5)

    def _pieces(self, flat: torch.Tensor) -> Iterator[torch.Tensor]:
        start = 0
        while start < len(flat):
            end = start + BLOCK - self._place
            yield flat[start:end]
            start = end


def _untie_head(model: Any) -> None:
    """Give it an output matrix of its own: transformers 5 ties that of every T5, whatever its config says."""
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(torch.empty_like(head.weight))
    tied = {name: source for name, source in model._tied_weights_keys.items() if name != "lm_head.weight"}
    model._tied_weights_keys = tied  # of this model alone, not of its class
    model.all_tied_weights_keys.pop("lm_head.weight", None)


def _fixed_words() -> tuple[str, ...]:
    """Ids that are no made-up words: special ones, and the words of every task's prefix."""
    return tuple(
        dict.fromkeys((*SPECIAL, *(word for task in TASKS.values() for word in task.prefix.split())))
    )


def _made_up(count: int) -> Iterator[str]:
    return (_word(index) for index in range(count))


def _word(index: int) -> str:
    """Three syllables, another word for every index below a million: bababa, babace, ..."""
    size = len(SYLLABLES)
    return "".join(SYLLABLES[index // size**place % size] for place in (2, 1, 0))
