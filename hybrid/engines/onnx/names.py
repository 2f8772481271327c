"""Inputs, outputs and tables of the graphs by name: what building and running them must agree on."""

# Of encoder.py's graphs.
IDS, BIAS, LATENT, STATES = "ids", "bias", "latent", "states"
# Of decoder.py's.
TOKENS, LAST, TOTAL, MASK, LOGITS, START = "tokens", "last", "total", "mask", "logits", "start"


def own(layer: int) -> tuple[str, str]:
    """A layer's caches of the answers, keys and values."""
    return f"keys_{layer}", f"values_{layer}"


def crossed(layer: int) -> tuple[str, str]:
    """A layer's keys and values of the prompts."""
    return f"cross_keys_{layer}", f"cross_values_{layer}"


def written(cache: str) -> str:
    """The output that is a cache with the new tokens in it; to be bound to the cache's own memory."""
    return f"written_{cache}"
