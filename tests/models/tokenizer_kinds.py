"""Tiny tokenizers, one of each kind that pairs meet, trained on a few words."""

from collections.abc import Callable, Mapping

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

WORDS = [
    "translate English to German: the old house at the river, and the new bridge over it. Das Haus ist alt.",
    "summarize: viele Leute wohnen dort seit Jahren; größer, naïve, 1,250 houses! user assistant system",
] * 8
CHAT = ("<pad>", "<|end|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>")


def gpt2() -> Tokenizer:
    """Byte-level BPE, one special token, which no text is framed by."""
    return _bytes(["<|endoftext|>"])


def qwen() -> Tokenizer:
    """Byte-level BPE behind a pattern of its own, with a chat's tokens and two that are not special."""
    tokenizer = _bytes([])
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in CHAT])
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in ("<think>", "<tool_call>")])
    return tokenizer


def t5() -> Tokenizer:
    """Unigram whose vocabulary holds its special tokens, with a </s> behind each text."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    special = ["<pad>", "</s>", "<unk>", "<extra_id_0>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(WORDS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return tokenizer


def llama() -> Tokenizer:
    """BPE of SentencePiece as first converted: a normalizer puts a blank before each stretch."""
    tokenizer = _pieces([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 4)])
    return tokenizer


def llama_first() -> Tokenizer:
    """The same, with a blank before the first word of a text alone."""
    tokenizer = _pieces([normalizers.Replace("\u00a0", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def gemma() -> Tokenizer:
    """BPE without a blank before; line ends are added tokens that are not special."""
    tokenizer = _pieces([normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in ("\n", "\n\n", "<table>")])
    return tokenizer


KINDS: Mapping[str, Callable[[], Tokenizer]] = {
    make.__name__: make for make in (gpt2, qwen, t5, llama, llama_first, gemma)
}
LOSSLESS = ("gpt2", "qwen", "llama", "llama_first", "gemma")


def _bytes(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300 + len(special), special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(WORDS, trainer)
    return tokenizer


def _pieces(steps: list[normalizers.Normalizer]) -> Tokenizer:
    """BPE over characters, bytes for those it does not know; a merge would make its </s> of a text."""
    characters = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer = trainers.BpeTrainer(
        vocab_size=150, special_tokens=[*CHAT, *(f"<0x{byte:02X}>" for byte in range(256))],
        initial_alphabet=["<", ">", "/", "s", "▁"], show_progress=False,
    )  # fmt: skip
    characters.pre_tokenizer = pre_tokenizers.Metaspace()
    characters.train_from_iterator(WORDS, trainer)
    vocabulary = characters.get_vocab()
    count = len(vocabulary)
    vocabulary |= {"</": count, "s>": count + 1}
    merges = [("<", "/"), ("s", ">"), ("</", "s>")]
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in CHAT])
    return tokenizer
