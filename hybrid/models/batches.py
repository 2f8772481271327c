"""Prompts of different lengths as padded batches for transformers' generate()."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Ids = Sequence[int] | NDArray[np.int64]


def padded(prompts: Sequence[Ids]) -> torch.Tensor:
    """(B, S) ids, padded with 0 at the end."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in prompts], batch_first=True)


def by_length(prompts: Sequence[Ids], size: Callable[[int], int]) -> Iterator[tuple[list[int], torch.Tensor]]:
    """All prompts in batches, the shortest first: their places, and their ids (B, S).

    Like lengths together mean less padding. size: how many prompts to take, 1
    or more, by the tokens of the shortest of them.
    """
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    start = 0
    while start < len(order):
        places = order[start : start + size(len(prompts[order[start]]))]
        start += len(places)
        yield places, padded([prompts[place] for place in places])
