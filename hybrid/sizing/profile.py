"""A profile: what a device and an engine on it take for each kind of work, as `hybrid device` measured it.

    results/devices/<name>.json

Profiles are replaced as a whole. Nothing here imports torch.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from hybrid.engines.registry import ENGINES, INT8_ENCODER, spec_of
from hybrid.errors import StoreError
from hybrid.format import LONGEST_REASON, percent, printable
from hybrid.measuring.device import Machine
from hybrid.measuring.environment import versions
from hybrid.measuring.hardware import cpu_hardware, hardware, unlike
from hybrid.models.arithmetic import BYTES, bytes_per_weight
from hybrid.schema import Device, Environment, Gpu
from hybrid.sizing.costs import Costs, Products
from hybrid.store.checks import check_seal, seal
from hybrid.store.files import as_store_error, atomic_write, read_small
from hybrid.store.folders import results_folder
from hybrid.store.typed_json import Header, decode, encode, plain

FORMAT = 1
FOLDER = "devices"
ANOTHER_MACHINE, OTHER_VERSIONS = "profile of another machine", "profile of other library versions"
BUSY_MACHINE = "profile of a busy machine"
_BUSY = 0.85  # of cpu_share
_MOST = 1e18  # of bytes or operations in a second
_LARGEST_SIZE = 2**31  # of a batch, or of the tokens of a prompt
_LONGEST_S = 1e3  # of one weight, layer or token
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,99}")


@dataclass(frozen=True)
class DecoderOnlyCosts:
    """What decoder-only models cost by size, in an engine that computes them by themselves.

    read: of a hybrid's LLM. prompt: of a model's own, but for the output matrix. step: see Profile.
    """

    read: tuple[Costs, ...]
    prompt: tuple[Costs, ...]
    step: tuple[Costs, ...]


@dataclass(frozen=True)
class Profile:
    """One engine on one device.

    engine, device, dtype, threads, options: of the engine that was measured.
    encode, prefill, step: costs by size, of prefill those beyond a step.
    tokenize, detokenize: seconds of one request, of each prompt, of each token.
    fit_error: median absolute relative error on the shapes that were measured.
    shapes: how many were. took_s: what measuring took. cpu_share: CPU time over
    that; well below 1 others had the cores meanwhile. None on a GPU, or not known.
    decoder_only: None where such models cost what others do.
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
    cpu_share: float | None = None
    decoder_only: DecoderOnlyCosts | None = None

    @property
    def bytes_each(self) -> tuple[float, float]:
        """Bytes of a weight of the encoder, and of one of the decoder."""
        each, spec = bytes_per_weight(self.dtype), spec_of(self.engine)
        if not spec.encoder_in_float32:
            return each, each
        option = spec.options.get(INT8_ENCODER)
        chosen = self.options.get(INT8_ENCODER) or (option.choices[0] if option else "off")
        return (each if chosen == "on" else BYTES["float32"]), each

    @cached_property
    def products(self) -> Products:
        """How products of matrices grow with their rows."""
        return Products.of(self.machine)


@dataclass(frozen=True)
class Stranger:
    """Why a profile does not hold for this machine. label: what it is instead, as ANOTHER_MACHINE."""

    label: str
    reason: str

    @property
    def sentence(self) -> str:
        """Say what that means for its predictions."""
        return (
            f"This is a {self.label}: {self.reason}. How far its predictions are off here is not known; "
            "`hybrid device` measures a profile of this machine in half a minute."
        )


def stranger(profile: Profile) -> Stranger | None:
    """Say why a profile does not hold for this machine; None when it does."""
    measured_on, this_machine = profile.environment.hardware, cpu_hardware()
    if not measured_on.known:
        return Stranger(ANOTHER_MACHINE, f"it says no more of its own than {profile.environment.device_name}")
    if differing := unlike(measured_on, this_machine):
        name, machines = profile.environment.cpu, " against ".join(differing)
        return Stranger(ANOTHER_MACHINE, f"{name}: {machines} here")
    if measured_on.gpu and measured_on.gpu != _gpu_here(profile.device):
        return Stranger(ANOTHER_MACHINE, f"its {measured_on.gpu.name} is not here")
    libraries = ("torch", "transformers", *spec_of(profile.engine).packages)
    before, now = profile.environment.packages, versions(libraries)
    changed = [name for name in libraries if before.get(name) != now.get(name)]
    if changed:
        changes = (f"{name} {before.get(name, 'none')}, here {now.get(name, 'none')}" for name in changed)
        return Stranger(OTHER_VERSIONS, "; ".join(changes))
    if profile.cpu_share is not None and profile.cpu_share < _BUSY:
        return Stranger(BUSY_MACHINE, f"others had the core for {percent(1 - profile.cpu_share)} of the time")
    return None


def _gpu_here(device: Device) -> Gpu | None:
    try:
        return hardware(device).gpu
    except (AssertionError, ImportError, RuntimeError):  # no such device, or a torch without CUDA
        return None


def save_profile(profile: Profile, root: Path | None = None) -> Path:
    """Store a profile, in place of one of the same name, and say where. Raises StoreError."""
    check_name(profile.name)
    path = _folder(root) / f"{profile.name}.json"
    with as_store_error(f"{path} cannot be written", "HYBRID_RESULTS names another folder for results."):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, seal(encode({"format": FORMAT, **plain(profile)}, indent=1), indented=True))
    return path


def check_name(name: str) -> None:
    """Raise StoreError when no profile can be called so."""
    if not _NAME.fullmatch(name):
        raise StoreError(
            f"{name!r} cannot name a profile; take up to 100 letters, digits, '.', '_' and '-', "
            "beginning with one of the first two."
        )


def load_profile(name: str | None = None, root: Path | None = None) -> Profile:
    """Load the profile of this name, or the newest of this machine's own, or the newest.

    Raises StoreError: unknown, none here, not readable.
    """
    folder, names = _folder(root), profile_names(root)
    if not names:
        raise StoreError(f"There are no profiles in {folder}. `hybrid device` measures one.")
    if name is None:
        profiles, problems = read_profiles(root)
        if not profiles:
            raise StoreError(problems[0])
        return profiles[0]
    if name not in names:
        raise StoreError(
            f"There is no profile {name!r} in {folder}; available: {', '.join(names)}. "
            "`hybrid device` measures another."
        )
    return _read(folder / f"{name}.json")


def read_profiles(root: Path | None = None) -> tuple[list[Profile], list[str]]:
    """Read all profiles, this machine's own first, then the newest; and a sentence for each damaged file."""
    profiles, problems = [], []
    for name in profile_names(root):
        try:
            profiles.append(_read(_folder(root) / f"{name}.json"))
        except StoreError as error:
            problems.append(str(error))
    profiles.sort(key=lambda profile: profile.created_at, reverse=True)
    return sorted(profiles, key=lambda profile: stranger(profile) is not None), problems


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
        if (version := decode(Header, data).format) != FORMAT:
            raise ValueError(f"it has format {version!r} and this version reads {FORMAT}")
        profile = replace(decode(Profile, data), name=path.stem)
        check_profile(profile)
        check_seal(data, indented=True)
    except ValueError as error:
        why = printable(str(error), LONGEST_REASON)
        raise StoreError(f"{path} cannot be read: {why}. `hybrid device` measures it anew.") from error
    return profile


def check_profile(profile: Profile) -> None:
    """Raise ValueError for what no device has and the types leave open."""
    spec, machine = ENGINES.get(profile.engine), profile.machine
    if spec is None or profile.device.kind not in spec.dtypes:
        raise ValueError(f"engine is {profile.engine!r}, and there is none of it on {profile.device}")
    for dtype in (profile.dtype, machine.dtype):
        bytes_per_weight(dtype)
    _check_positive("machine.bandwidth", (machine.bandwidth,))
    for name, table in (("by_working_set", machine.by_working_set), ("rates", machine.rates)):
        if {len(row) for row in table} != {2}:
            raise ValueError(f"machine.{name} is {table!r:.60}, not pairs of numbers")
        _check_positive(f"machine.{name}", [value for row in table for value in row])
        _check_increasing(f"machine.{name}", [row[:1] for row in table])
    for phase in ("encode", "prefill", "step"):
        _check_costs(phase, getattr(profile, phase))
    if profile.decoder_only is not None:
        for phase in ("read", "prompt", "step"):
            _check_costs(phase, getattr(profile.decoder_only, phase))
    for name in ("tokenize", "detokenize"):
        if len(values := getattr(profile, name)) != 3:
            raise ValueError(f"{name} has {len(values)} numbers, not 3")
        _check_seconds(name, values)


def _check_costs(phase: str, several: Sequence[Costs]) -> None:
    _check_increasing(phase, [(costs.batch, costs.tokens) for costs in several])
    for costs in several:
        least, most = (0, 0) if phase == "step" else (1, _LARGEST_SIZE)
        if not (1 <= costs.batch <= _LARGEST_SIZE and least <= costs.tokens <= most):
            size = f"{costs.batch!s:.20} prompts of {costs.tokens!s:.20} tokens"
            raise ValueError(f"{phase} is of {size}, and no more than {_LARGEST_SIZE} can be")
        _check_seconds(phase, costs.seconds.values())


def _check_increasing(name: str, places: Sequence[tuple[float, ...]]) -> None:
    if not places or any(smaller >= larger for smaller, larger in pairwise(places)):
        raise ValueError(f"sizes of {name} are {list(places)!r:.60}, which do not increase")


def _check_positive(name: str, values: Iterable[float]) -> None:
    for value in values:
        if not 1 <= value <= _MOST:
            raise ValueError(f"{name} has {value!r:.40}, which is not from 1 to {_MOST:g}")


def _check_seconds(name: str, values: Iterable[float]) -> None:
    for value in values:
        if not 0 <= value <= _LONGEST_S:
            raise ValueError(f"{name} takes {value!r:.40} s, which is not from 0 to {_LONGEST_S:g}")


def _folder(root: Path | None) -> Path:
    return (root or results_folder()) / FOLDER
