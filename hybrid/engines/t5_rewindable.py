"""A T5Decoder that reads several tokens in one pass and goes back: what speculative decoding asks of it.

One pass over n tokens reads every weight once, as one over a single token
does. In self-attention a token sees those before it and itself; in
cross-attention all see the whole prompt. Going back is free: a pass writes its
keys and values at their positions and looks at none behind them.

Letters: S prompt tokens, n tokens of a pass, T capacity, D model width, H heads,
K head width, V vocabulary.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from hybrid.engines.speculative import SURE
from hybrid.engines.t5_decoder import Layer, T5Decoder
from hybrid.engines.t5_layers import Norm, add_mm, argmax, mm, rms_of_rows


class T5Rewindable:
    """speculative.Rewindable over `decoder`, which must not be used by others meanwhile.

    eos: the id that ends a draft. As an attribute, ids: how many it knows.
    """

    def __init__(self, decoder: T5Decoder, eos: int) -> None:
        self.decoder, self.eos, self.start = decoder, eos, decoder.start
        self.ids = len(decoder.embeddings)
        self.norm = rms_of_rows(decoder.embeddings.shape[2], decoder.eps, decoder.target)
        self.surest = _surest(decoder.logits)
        self.bias = decoder.bias.new_empty(0, 0)
        self.unread: tuple[torch.Tensor, int] | None = None  # what `read` was given last, until it is needed

    def read(self, states: torch.Tensor, capacity: int) -> None:
        """A new prompt: (S, D) encoder hidden states. capacity: of positions.

        The work is done in the first pass, so that its time belongs to that.
        """
        self.unread = states, capacity

    def _read(self) -> None:
        if self.unread is None:
            return
        self.decoder.read(*self.unread)
        self.unread = None
        reach = self.decoder.capacity
        if self.bias.shape[1] != 2 * reach - 1:  # (H, 2T - 1): what is before a query, then what is after it
            unseen = self.decoder.bias.new_full((self.decoder.heads, reach - 1), -torch.inf)
            self.bias = torch.cat([self.decoder.bias, unseen], dim=1)

    def extend(self, tokens: Sequence[int], position: int) -> list[int]:
        """The greedy id after each of `tokens`, which stand at `position` and what follows it."""
        self._read()
        one, count, end = self.decoder, len(tokens), position + len(tokens)
        if count == 1 and not one.target.blocks:
            return [one.step({0: tokens[0]}, position)[0]]
        # One window for each query, the last one's first: each starts at key 0.
        first = one.capacity - end
        bias = self.bias[:, first : first + count - 1 + end].unfold(1, end, 1).flip(1)  # (H, n, end)
        rows = one.embeddings[torch.tensor(tokens, device=one.target.device), 0]  # (n, D)
        for layer in one.layers:
            rows = _pass(layer, rows, position, bias, self.norm)
        return argmax(mm(self.norm(rows), one.head))

    def draft(self, token: int, position: int, count: int) -> list[int]:
        """Up to `count` ids one after another; the last one is `eos`, or makes the draft unlikely."""
        self._read()
        ids: list[int] = []
        chance = 1.0
        for place in range(position, position + count):
            self.decoder.run(token, place)
            token, probability = self.surest()
            ids.append(token)
            chance *= probability
            if token == self.eos or chance < SURE:
                break
        return ids


def _pass(layer: Layer, rows: torch.Tensor, position: int, bias: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Layer.__call__ for n rows, (n, D), the first at `position`. bias: (H, n, position + n)."""
    count, end = len(rows), position + len(rows)
    qkv = mm(norm(rows), layer.qkv)
    layer.cache[position:end] = qkv
    query = qkv.view(count, 3, layer.heads, -1)[:, 0].transpose(0, 1)  # (H, n, K)
    scores = torch.baddbmm(bias, query, layer.keys[end - 1])
    mixed = torch.bmm(scores.softmax(-1), layer.values[end - 1])  # (H, n, K)
    rows = add_mm(rows, mixed.transpose(0, 1).flatten(1), layer.out)

    query = mm(norm(rows), layer.cross_query).view(count, layer.heads, -1).transpose(0, 1)
    scores = torch.bmm(query, layer.cross_keys)  # (H, n, S)
    mixed = torch.bmm(scores.softmax(-1), layer.cross_values)
    rows = add_mm(rows, mixed.transpose(0, 1).flatten(1), layer.cross_out)

    return layer.feed_forward(rows, norm(rows))


def _surest(logits: torch.Tensor) -> Callable[[], tuple[int, float]]:
    """Reads the index of the largest of `logits`, (1, V), and its probability."""
    if logits.device.type != "cpu" or logits.dtype != torch.float32:

        def read() -> tuple[int, float]:
            largest = logits.float().softmax(1).max(1)
            # Brought over together, since each wait for a GPU costs; float64 holds every id.
            index, probability = torch.cat([largest.indices.double(), largest.values.double()]).tolist()
            return int(index), probability

        return read
    shared = logits.numpy()[0]

    def read_shared() -> tuple[int, float]:
        index = int(shared.argmax())
        return index, 1.0 / float(np.exp(shared - shared[index]).sum())

    return read_shared
