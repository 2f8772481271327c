"""What the values of a config.json may be, whoever wrote it: types for the Settings of each family."""

from collections.abc import Callable
from typing import Annotated, Any

from msgspec import Meta

from hybrid.models.architectures import Config
from hybrid.models.architectures.records import Sizes
from hybrid.store.typed_json import convert

Vocabulary = Annotated[int, Meta(ge=1, le=2**24)]
Width = Annotated[int, Meta(ge=1, le=2**20)]
Layers = Annotated[int, Meta(ge=1, le=1000)]
Tokens = Annotated[int, Meta(ge=1, le=2**24)]  # of a context, or of a window
Id = Annotated[int, Meta(ge=0, le=2**24)]
Ids = Id | Annotated[list[Id], Meta(min_length=1, max_length=100)] | None
Rate = Annotated[float, Meta(ge=0, lt=1)]  # of dropout
Epsilon = Annotated[float, Meta(gt=0, le=1)]
Scale = Annotated[float, Meta(ge=0, le=1000)]  # of first weights
Deviation = Annotated[float, Meta(ge=0, le=1)]  # the same, as a standard deviation


def checked(kind: type, config: Config, sizes: Callable[[Config], Sizes]) -> dict[str, Any]:
    """Take the keys of `kind`, a TypedDict, from a config.json, with values that go together.

    sizes: of the family. Raises ValueError, with key, value and bound.
    """
    settings: dict[str, Any] = dict(convert(kind, dict(config)))
    about = sizes(settings)
    for key in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        value = settings.get(key)
        ids = value if isinstance(value, list) else [0 if value is None else value]
        if max(ids) >= about.vocabulary:
            raise ValueError(f"{key} is {value}, and vocab_size is {about.vocabulary}")
    if about.heads % about.key_value_heads:
        raise ValueError(f"{about.key_value_heads} key-value heads do not serve {about.heads} heads evenly")
    return settings
