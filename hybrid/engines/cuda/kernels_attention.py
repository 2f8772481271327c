"""Triton kernels of decode steps and passes: the attentions, and selecting the next id.

Each may be launched before the one ahead of it has ended, see kernels.py.

Letters: B answers, n tokens of each in a pass, one in a decode step, H heads, G key-value heads, K head
width, T capacity in tokens, S prompt tokens of the bucket, D model width, V vocabulary.
"""

# Triton carries no types, and reads annotations as its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, misc"
import triton  # type: ignore[import-not-found,import-untyped,unused-ignore]
import triton.language as tl  # type: ignore[import-not-found,import-untyped,unused-ignore]

from hybrid.engines.cuda.kernels import begin, factor, narrowed, wait


@triton.jit
def fill(
    qkv, keys, values, turns, positions, offsets, heads, groups, capacity, reach, tokens,
    TURNED: tl.constexpr, WIDTH: tl.constexpr, BLOCK_K: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Put one head's key and value of one token into the cache, where passes are over several tokens.

    The letters are self_attention's.
    """
    begin(PDL)
    wait(PDL)
    g, row = tl.program_id(0), tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    b = row // tokens
    place = _place(positions, offsets, row, tokens)
    token = qkv + row.to(tl.int64) * (heads + 2 * groups) * WIDTH
    key = _head(token + (heads + g) * WIDTH, turns, place, reach, TURNED, WIDTH, BLOCK_K)
    value = _head(token + (heads + groups + g) * WIDTH, turns, place, reach, False, WIDTH, BLOCK_K)
    address = (b * groups + g).to(tl.int64) * capacity * WIDTH + place * WIDTH + k
    tl.store(keys + address, narrowed(key, keys.dtype.element_ty), mask=k < WIDTH)
    tl.store(values + address, narrowed(value, values.dtype.element_ty), mask=k < WIDTH)


@triton.jit
def self_attention(
    qkv, x, keys, values, bias, turns, positions, offsets, out, eps, heads, groups, capacity, reach, tokens,
    D: tl.constexpr, NORM: tl.constexpr, RELATIVE: tl.constexpr, TURNED: tl.constexpr, FILLED: tl.constexpr,
    WIDTH: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_T: tl.constexpr,
    PDL: tl.constexpr,
):  # fmt: skip
    """Attend with one head of one token to all of its answer so far.

    qkv: (B * n, (H + 2G)K). keys, values: (B, G, T, K). bias: (H, reach) by distance, where RELATIVE.
    turns: (2, reach, K), where TURNED. positions, offsets: (B,), whose sum is the place of the first
    of n tokens in the cache. out: (B * n, HK). FILLED: keys and values are in the cache; else a single
    one goes into it now. NORM: qkv is raw, of the single row x.
    """
    begin(PDL)
    wait(PDL)
    h, row = tl.program_id(0), tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    b = row // tokens
    shared = heads // groups
    g = h // shared
    token = qkv + row.to(tl.int64) * (heads + 2 * groups) * WIDTH
    place = _place(positions, offsets, row, tokens)
    query = _head(token + h * WIDTH, turns, place, reach, TURNED, WIDTH, BLOCK_K)
    head = (b * groups + g).to(tl.int64) * capacity * WIDTH
    top, total, mixed = float("-inf"), 0.0, tl.zeros((BLOCK_K,), tl.float32)
    count = place + 1
    if not FILLED:
        key = _head(token + (heads + g) * WIDTH, turns, place, reach, TURNED, WIDTH, BLOCK_K)
        value = _head(token + (heads + groups + g) * WIDTH, turns, place, reach, False, WIDTH, BLOCK_K)
        if NORM:
            scale = factor(x, eps, D, BLOCK_D)
            query, key, value = query * scale, key * scale, value * scale
        key, value = narrowed(key, keys.dtype.element_ty), narrowed(value, values.dtype.element_ty)
        first = (k < WIDTH) & (h % shared == 0)  # one of those that share a key writes it
        tl.store(keys + head + place * WIDTH + k, key, mask=first)
        tl.store(values + head + place * WIDTH + k, value, mask=first)
        top = tl.sum(query * key.to(tl.float32), axis=0)
        if RELATIVE:
            top += tl.load(bias + h * reach)
        total, mixed, count = 1.0, value.to(tl.float32), place  # of the id itself; then of those before it
    for start in range(0, count, BLOCK_T):
        t = start + tl.arange(0, BLOCK_T)
        nearer = tl.zeros((BLOCK_T,), tl.float32)
        if RELATIVE:
            nearer = tl.load(bias + h * reach + place - t, mask=t < count, other=0.0)
        top, total, mixed = _attended(
            query, keys + head, values + head, nearer, t, count, top, total, mixed, WIDTH, BLOCK_K
        )
    address = out + (row.to(tl.int64) * heads + h) * WIDTH + k
    tl.store(address, narrowed(mixed / total, out.dtype.element_ty), mask=k < WIDTH)


@triton.jit
def _place(positions, offsets, row, tokens):
    """Give the place in the cache of the token of a row, of n tokens an answer."""
    b = row // tokens
    return (tl.load(positions + b) + tl.load(offsets + b)).to(tl.int32) + row % tokens


@triton.jit
def _head(
    x, turns, place, reach, TURNED: tl.constexpr, WIDTH: tl.constexpr, BLOCK_K: tl.constexpr
):  # fmt: skip
    """Give (BLOCK_K,): one head of a query, a key or a value, turned where TURNED by its place."""
    k = tl.arange(0, BLOCK_K)
    head = tl.load(x + k, mask=k < WIDTH, other=0.0).to(tl.float32)
    if TURNED:
        swapped = tl.load(x + (k + WIDTH // 2) % WIDTH, mask=k < WIDTH, other=0.0).to(tl.float32)
        cosines = tl.load(turns + place * WIDTH + k, mask=k < WIDTH, other=0.0)
        sines = tl.load(turns + (reach + place) * WIDTH + k, mask=k < WIDTH, other=0.0)
        head = head * cosines + swapped * sines
    return head


@triton.jit
def cross_attention(
    query, x, keys, values, lengths, out, eps, heads, capacity, tokens,
    D: tl.constexpr, NORM: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK_D: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_T: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Attend with one head of one token to its prompt's tokens.

    query: (B * n, HK). keys, values: (B, H, S, K) with S the capacity. lengths: (B,).
    """
    begin(PDL)
    wait(PDL)
    h, row = tl.program_id(0), tl.program_id(1)
    k = tl.arange(0, BLOCK_K)
    b = row // tokens
    address = row * heads * WIDTH + h * WIDTH + k
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
    logits, embeddings, places, inputs, positions, offsets, ids, vocabulary, reach,
    D: tl.constexpr, PLACED: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_D: tl.constexpr, PDL: tl.constexpr,
):  # fmt: skip
    """Select the greedy id of one row, the first of equals; its embedding becomes the next input.

    logits: (B, V) float32. embeddings: (V, D). places: (reach, D), where PLACED. inputs: (B, D).
    positions, offsets: (B,). ids: (T, B).
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
    row = tl.load(embeddings + chosen.to(tl.int64) * D + d, mask=d < D, other=0.0).to(tl.float32)
    if PLACED:
        place = tl.minimum(position + 1 + tl.load(offsets + b), reach - 1)
        row += tl.load(places + place * D + d, mask=d < D, other=0.0).to(tl.float32)
    tl.store(inputs + b * D + d, row, mask=d < D)
