"""What there is to know sizes from: device profiles, grids of latencies, and the shapes that both name.

A device here is one engine on one machine, run in one way: a stored profile, and
the grids that were measured alike; or grids alone, where nobody made a profile.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from hybrid.errors import HybridError
from hybrid.format import printable
from hybrid.models.known_shapes import find_shape, own_names, published_shapes
from hybrid.models.manifest import MANIFEST, zoos
from hybrid.models.shapes import Shape
from hybrid.schema import Environment, Grid
from hybrid.sizing import Profile, Stranger, fits, profile_names, read_profiles, stranger
from hybrid.store.folders import results_folder
from hybrid.store.grids import list_grids
from hybrid.store.typed_json import convert

FOLDERS = ("devices", "grids")
LONGEST = 8192  # tokens of a prompt or an answer that can be asked for


@dataclass(frozen=True)
class Device:
    """name: of the profile, or `grid` and the id of the oldest. grids: measured alike, the newest first.

    stranger: why the profile is not this machine's own; None when it is, or there is none.
    """

    name: str
    profile: Profile | None
    grids: tuple[Grid, ...]
    stranger: Stranger | None = None

    @property
    def environment(self) -> Environment:
        return self._of.environment

    @property
    def whose(self) -> str:
        """`profile of another machine`; empty where it is this machine's own."""
        return self.stranger.label if self.stranger else ""

    @property
    def engine(self) -> str:
        return self._of.engine

    @property
    def dtype(self) -> str:
        return self._of.dtype

    @property
    def threads(self) -> int:
        return self._of.threads

    @property
    def label(self) -> str:
        """`AMD EPYC, onnx, int8 (amd-epyc-onnx-int8)`; plain text on one line."""
        where = [self.environment.device_name, self.engine, self.dtype]
        if self._of.device == "cpu" and self.threads > 1:
            where.append(f"{self.threads} threads")
        return f"{', '.join(printable(part, 40) for part in where)} ({printable(self.name)})"

    @property
    def _of(self) -> Profile | Grid:
        return self.profile or self.grids[0]


@dataclass(frozen=True)
class Sources:
    """Devices with a profile first, this machine's own before others, the newest first.

    shapes: by name; those of grids included.
    problems: a sentence for each file that is damaged; it hides nothing else.
    damaged: names of what is of no use at all, as delete_stored() takes them.
    """

    devices: tuple[Device, ...]
    shapes: Mapping[str, Shape]
    problems: tuple[str, ...]
    damaged: tuple[str, ...] = ()

    def sizes(self, name: str, common: Iterable[int], limit: int) -> list[int]:
        """Tell what a slider offers: common values and those of the grids. name: of a field of Grid."""
        grids = (grid for device in self.devices for grid in device.grids)
        measured = {value for grid in grids for value in getattr(grid, name) if 0 < value <= limit}
        return sorted({*common} | measured)


def sources(root: Path | None = None) -> Sources:
    """All that is stored. Raises StoreError when the folder of results cannot be read."""
    profiles, broken = read_profiles(root)
    listing = list_grids(root)
    devices = [
        Device(
            profile.name,
            profile,
            tuple(grid for grid in listing.grids if fits(grid, profile)),
            stranger(profile),
        )
        for profile in profiles
    ]
    alone = [grid for grid in listing.grids if not any(grid in device.grids for device in devices)]
    groups: dict[object, list[Grid]] = {}
    for grid in alone:
        groups.setdefault(_conditions(grid), []).append(grid)
    # No profile's name has a blank in it. The oldest grid's id stays when others join it.
    devices += [Device(f"grid {grids[-1].grid_id}", None, tuple(grids)) for grids in groups.values()]
    shapes, unknown = _shapes(listing.grids)
    useless = {*profile_names(root)} - {profile.name for profile in profiles}
    damaged = (
        *(f"devices/{name}" for name in sorted(useless)),
        *(f"grids/{name}" for name in listing.damaged),
    )
    return Sources(tuple(devices), shapes, (*broken, *listing.problems, *unknown), damaged)


def sources_stamp(root: Path | None = None) -> str:
    """Stamp what changes whenever a profile, a grid or the bundled pair does. Cheap."""
    root = root or results_folder()
    stamps = [str(root)]
    manifests = (path for zoo in zoos() for path in sorted(zoo.glob(f"*/{MANIFEST}")))
    for path in (*(root / name for name in FOLDERS), *manifests):
        stamps += _files(path)
    return sha256("\n".join(stamps).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def sound(row: Mapping[str, object], name: str) -> Shape:
    """Give the shape that a grid says is behind a name; its parameters are counted. Raises ValueError."""
    shape = convert(Shape, {"parameters": 0, **row, "name": name})
    return replace(shape, parameters=shape.counted_parameters)


def same_sizes(first: Shape, second: Shape) -> bool:
    """Whether two shapes are of one size, whatever they are called and wherever they are from."""
    return replace(first, name="", source="") == replace(second, name="", source="")


def _shapes(grids: Iterable[Grid]) -> tuple[dict[str, Shape], list[str]]:
    """Shapes by name: published, of pairs that are here, and those that only grids know, the newest first."""
    shapes, problems = dict(published_shapes()), []
    for name in own_names():
        try:
            shapes[name] = find_shape(name)
        except HybridError as error:
            problems.append(str(error))
    labels = {printable(name) for name in shapes}
    for grid in grids:
        for name, row in grid.shapes.items():
            try:
                shape = sound(row, name)
            except (ValueError, TypeError) as error:
                problems.append(
                    f"Grid {grid.grid_id} does not describe {printable(name)} ({printable(str(error))}): "
                    "its cells with it are left out."
                )
                continue
            if name not in shapes and printable(name) not in labels:
                shapes[name] = shape
                labels.add(printable(name))
    return shapes, list(dict.fromkeys(problems))


def _conditions(grid: Grid) -> object:
    """Tell what two grids must share to be of one device; fits() asks the same of a profile."""
    kind = grid.device.kind
    options = tuple(sorted(grid.engine_options.items()))
    here = grid.environment
    return grid.engine, grid.dtype, grid.threads, kind, here.device_name, here.hardware.fingerprint, options


def _files(path: Path) -> list[str]:
    """Tell what changes when a file, or a file in a folder, does."""
    try:
        paths = sorted(path.iterdir()) if path.is_dir() else [path]
        stats = [(file, file.lstat()) for file in paths]
    except OSError:
        return [str(path)]
    return [f"{file} {stat.st_mtime_ns} {stat.st_size} {stat.st_ino}" for file, stat in stats]
