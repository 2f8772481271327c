"""A profile: what a device and an engine on it take for each kind of work, as `hybrid device` measured it.

    results/devices/<name>.json

Profiles are replaced as a whole. Nothing here imports torch.
"""

import math
import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from hybrid.errors import StoreError
from hybrid.measuring.device import Machine
from hybrid.schema import Device, Environment
from hybrid.sizing.cost_features import Terms
from hybrid.store.files import as_store_error, atomic_write, read_small
from hybrid.store.folders import results_folder
from hybrid.store.typed_json import Header, decode, encode, plain

Log2Coordinates = tuple[float, ...]  # sizes of a shape, each as octaves
FORMAT = 1
FOLDER = "devices"
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}")
_SOFTENING = 0.05  # of distances in octaves squared: a shape that was measured counts some 1000-fold


@dataclass(frozen=True)
class Known:
    """A shape that was measured: `ratio` of its time to what the costs say, at this place."""

    place: Log2Coordinates
    ratio: float


@dataclass(frozen=True)
class Costs:
    """What work costs with so many prompts or answers at once, of so many tokens each.

    tokens: of each prompt; 0 where it does not matter, as each answer's next
    token is one. seconds: by term, of one of it. known: what the measured shapes
    took beside that, which is interpolated: caches, and kernels that change with size.
    """

    batch: int
    tokens: int
    seconds: Mapping[str, float]
    known: tuple[Known, ...] = ()

    def of(self, terms: Terms, place: Log2Coordinates | None = None) -> float:
        """Seconds of these terms. place: where the shape stands among those that were measured."""
        plain = sum(self.seconds.get(name, 0.0) * amount for name, amount in terms.items())
        return plain if place is None else plain * self._ratio(place)

    def _ratio(self, place: Log2Coordinates) -> float:
        """Of the measured shapes, the nearer the weightier (Shepard 1968, doi 10.1145/800186.810616)."""
        total = weight = 0.0
        for one in self.known:
            distance = sum((a - b) ** 2 for a, b in zip(one.place, place, strict=True))
            near = (distance + _SOFTENING) ** -1.5
            total, weight = total + near * math.log(one.ratio), weight + near
        return math.exp(total / weight) if weight else 1.0


@dataclass(frozen=True)
class Profile:
    """One engine on one device.

    engine, device, dtype, threads, options: of the engine that was measured.
    encode, prefill, step: costs by size, of prefill those beyond a step.
    tokenize, detokenize: seconds of one request, of each prompt, of each token.
    fit_error: median absolute relative error on the shapes that were measured.
    shapes: how many were. took_s: what measuring took.
    """

    name: str
    engine: str
    device: Device
    dtype: str
    threads: int
    machine: Machine
    environment: Environment
    created_at: str
    encode: tuple[Costs, ...]
    prefill: tuple[Costs, ...]
    step: tuple[Costs, ...]
    tokenize: tuple[float, ...]
    detokenize: tuple[float, ...]
    fit_error: float
    shapes: int
    took_s: float
    options: Mapping[str, str] = field(default_factory=dict)


def between(
    costs: Sequence[Costs], size: tuple[float, float], terms: Terms, place: Log2Coordinates | None = None
) -> float:
    """Seconds of these terms at any size, (prompts at once, tokens of each), from the sizes around it.

    Between them on a log-log scale; above the largest every further prompt or
    token costs what it does between the last two.
    """
    batch, tokens = size
    groups = groupby(costs, key=lambda one: one.batch)
    lines = [(at, [(one.tokens, one.of(terms, place)) for one in group]) for at, group in groups]
    return _along([(at, _along(line, tokens)) for at, line in lines], batch)


def _along(points: Sequence[tuple[float, float]], at: float) -> float:
    """Return the value at `at` on the line through points of (where, value), in this order."""
    if len(points) == 1:
        return points[0][1]
    index = min(max(1, bisect([where for where, _ in points], at)), len(points) - 1)
    (low, least), (high, most) = points[index - 1 : index + 1]
    if at > high or not (least and most):
        return max(0.0, most + (most - least) / (high - low) * (at - high))
    share = math.log(at / low) / math.log(high / low)
    return math.exp(math.log(least) * (1 - share) + math.log(most) * share)


def save_profile(profile: Profile, root: Path | None = None) -> Path:
    """Store a profile, in place of one of the same name, and say where. Raises StoreError."""
    check_name(profile.name)
    path = _folder(root) / f"{profile.name}.json"
    with as_store_error(f"{path} cannot be written", "HYBRID_RESULTS names another folder for results."):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, encode({"format": FORMAT, **plain(profile)}, indent=1))
    return path


def check_name(name: str) -> None:
    """Raise StoreError when no profile can be called so."""
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} cannot name a profile; take up to 100 letters, digits, '.', '_' and '-', "
            "beginning with one of the first two."
        )


def load_profile(name: str | None = None, root: Path | None = None) -> Profile:
    """Load the profile of this name, or the newest. Raises StoreError: unknown, none here, not readable."""
    folder, names = _folder(root), profile_names(root)
    if not names:
        raise StoreError(f"There are no profiles in {folder}. `hybrid device` measures one.")
    if name is None:
        profiles = [_read(folder / f"{one}.json") for one in names]
        return max(profiles, key=lambda profile: profile.created_at)
    if name not in names:
        raise StoreError(
            f"There is no profile {name!r} in {folder}; available: {', '.join(names)}. "
            "`hybrid device` measures another."
        )
    return _read(folder / f"{name}.json")


def profile_names(root: Path | None = None) -> list[str]:
    """Return the profiles that are stored, by name."""
    folder = _folder(root)
    with as_store_error(f"{folder} cannot be read", "HYBRID_RESULTS names another folder of results."):
        try:
            paths = list(folder.iterdir())
        except FileNotFoundError:
            return []
    return sorted(path.stem for path in paths if path.suffix == ".json" and _NAME.fullmatch(path.stem))


def _read(path: Path) -> Profile:
    with as_store_error(f"{path} cannot be read"):
        data = read_small(path)
    try:
        if (given := decode(Header, data).format) != FORMAT:
            raise ValueError(f"it has format {given!r} and this version reads {FORMAT}")
        return replace(decode(Profile, data), name=path.stem)
    except ValueError as error:
        raise StoreError(f"{path} cannot be read: {error}. `hybrid device` measures it anew.") from error


def _folder(root: Path | None) -> Path:
    return (root or results_folder()) / FOLDER
