"""Triton kernels of one decode step: the attentions, and selecting the next id.

Each may be launched before the one ahead of it has ended, see kernels.py.

Letters: B answers, H heads, K head width, T capacity in generated tokens, S prompt tokens of the
bucket, D model width, V vocabulary.
"""

# Triton carries no types, and reads annotations as its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]

from hybrid.engines.cuda.kernels import begin, factor, narrowed, wait


@triton.jit
def self_attention(
    qkv, x, keys, values, bias, positions, out, eps, heads, capacity, reach,
    D: tl.constexpr, NORM: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_T: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Attend with one head of one answer to all its ids; the newest key and value go into the cache.

    qkv: (B, 3HK). keys, values: (B, H, T, K). bias: (H, reach) by distance. out:
    (B, HK). NORM: qkv is raw, of the single row x.
    """
    begin(PDL)
    wait(PDL)
    h, b = tl.program_id(0), tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    inner = heads * WIDTH
    first = qkv + b * 3 * inner + h * WIDTH + k
    query = tl.load(first, mask=k < WIDTH, other=0.0).to(tl.float32)
    key = tl.load(first + inner, mask=k < WIDTH, other=0.0).to(tl.float32)
    value = tl.load(first + 2 * inner, mask=k < WIDTH, other=0.0).to(tl.float32)
    if NORM:
        scale = factor(x, eps, D, BLOCK_D)
        query, key, value = query * scale, key * scale, value * scale
    key, value = narrowed(key, keys.dtype.element_ty), narrowed(value, values.dtype.element_ty)
    position = tl.load(positions + b).to(tl.int32)
    head = (b * heads + h).to(tl.int64) * capacity * WIDTH
    tl.store(keys + head + position * WIDTH + k, key, mask=k < WIDTH)
    tl.store(values + head + position * WIDTH + k, value, mask=k < WIDTH)
    top = tl.sum(query * key.to(tl.float32), axis=0) + tl.load(bias + h * reach)
    total, mixed = 1.0, value.to(tl.float32)  # of the id itself; then of those before it
    for start in range(0, position, BLOCK_T):
        t = start + tl.arange(0, BLOCK_T)
        nearer = tl.load(bias + h * reach + position - t, mask=t < position, other=0.0)
        top, total, mixed = _attended(
            query, keys + head, values + head, nearer, t, position, top, total, mixed, WIDTH, BLOCK_K
        )
    address = out + b * inner + h * WIDTH + k
    tl.store(address, narrowed(mixed / total, out.dtype.element_ty), mask=k < WIDTH)


@triton.jit
def cross_attention(
    query, x, keys, values, lengths, out, eps, heads, capacity,
    D: tl.constexpr, NORM: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_T: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Attend with one head of one answer to its prompt's tokens.

    query: (B, HK). keys, values: (B, H, S, K) with S the capacity. lengths: (B,).
    """
    begin(PDL)
    wait(PDL)
    h, b = tl.program_id(0), tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    address = b * heads * WIDTH + h * WIDTH + k
    vector = tl.load(query + address, mask=k < WIDTH, other=0.0).to(tl.float32)
    if NORM:
        vector *= factor(x, eps, D, BLOCK_D)
    length = tl.load(lengths + b).to(tl.int32)
    head = (b * heads + h).to(tl.int64) * capacity * WIDTH
    top, total, mixed = float("-inf"), 0.0, tl.zeros((BLOCK_K,), tl.float32)
    for start in range(0, length, BLOCK_T):
        t = start + tl.arange(0, BLOCK_T)
        level = tl.zeros((BLOCK_T,), tl.float32)
        top, total, mixed = _attended(
            vector, keys + head, values + head, level, t, length, top, total, mixed, WIDTH, BLOCK_K
        )
    tl.store(out + address, narrowed(mixed / total, out.dtype.element_ty), mask=k < WIDTH)


@triton.jit
def _attended(
    query, keys, values, bias, t, count, top, total, mixed,
    WIDTH: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Add keys `t` to an online softmax: the highest score, the sums of weights and of weighted values."""
    k = tl.arange(0, BLOCK_K)
    address = t[:, None] * WIDTH + k[None, :]
    within = (t < count)[:, None] & (k < WIDTH)[None, :]
    key_block = tl.load(keys + address, mask=within, other=0.0).to(tl.float32)
    value_block = tl.load(values + address, mask=within, other=0.0).to(tl.float32)
    scores = tl.where(t < count, tl.sum(key_block * query[None, :], axis=1) + bias, float("-inf"))
    higher = tl.maximum(top, tl.max(scores, axis=0))
    parts, fade = tl.exp(scores - higher), tl.exp(top - higher)
    mixed = mixed * fade + tl.sum(parts[:, None] * value_block, axis=0)
    return higher, total * fade + tl.sum(parts, axis=0), mixed


@triton.jit
def select(
    logits, embeddings, inputs, positions, ids, vocabulary,
    D: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_D: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Select the greedy id of one row, the first of equals; its embedding becomes the next input.

    logits: (B, V) float32. embeddings: (V, D). inputs: (B, D). positions: (B,). ids: (T, B).
    """
    begin(PDL)
    wait(PDL)
    b = tl.program_id(0)
    best = tl.full((BLOCK_V,), float("-inf"), tl.float32)
    column = tl.zeros((BLOCK_V,), tl.int32)
    for start in range(0, vocabulary, BLOCK_V):
        v = start + tl.arange(0, BLOCK_V)
        values = tl.load(logits + b.to(tl.int64) * vocabulary + v, mask=v < vocabulary, other=float("-inf"))
        column = tl.where(values > best, v, column)
        best = tl.maximum(best, values)
    top = tl.max(best, axis=0)
    chosen = tl.min(tl.where(best == top, column, vocabulary - 1), axis=0)
    position = tl.load(positions + b)
    tl.store(ids + position * tl.num_programs(0) + b, chosen.to(tl.int64))
    tl.store(positions + b, position + 1)
    d = tl.arange(0, BLOCK_D)
    row = tl.load(embeddings + chosen.to(tl.int64) * D + d, mask=d < D, other=0.0)
    tl.store(inputs + b * D + d, row.to(tl.float32), mask=d < D)
