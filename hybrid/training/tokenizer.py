"""The shared tokenizer: byte-level BPE, so that every text can be read and written."""

from collections.abc import Iterable

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from hybrid.schema import TASKS

SPECIALS = ("<pad>", "</s>", "<unk>")  # ids 0, 1, 2


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a tokenizer of exactly `vocab_size` entries, each task's prefix one of them.

    Digits are split one by one, so that numbers are copied digit by digit.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    prefixes = [AddedToken(task.prefix.rstrip(), normalized=False) for task in TASKS.values()]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(prefixes),
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(prefixes)
    return tokenizer
