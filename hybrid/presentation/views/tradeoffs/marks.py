"""How each system of each run looks and what it is called in all figures of a page."""

from collections.abc import Iterable, Mapping, Sequence

from hybrid.presentation.charts import ENGINE_SYMBOLS, color_of
from hybrid.presentation.charts.parts import DASHES, Mark
from hybrid.presentation.views.digest import Digest
from hybrid.schema import METHODS, System

Key = tuple[str, System]  # run id, system


def marks(digests: Sequence[Digest]) -> Mapping[Key, Mark]:
    """The method's colour; symbol and dash by engine, and by run when there are several.

    Several runs are told apart by a tag() in each name.
    """
    tags = tags_of([one.run_id for one in digests])
    looks = list(dict.fromkeys(_look(one, system) for one in digests for system in ordered(one.rows)))
    found = {}
    for one in digests:
        for system in ordered(one.rows):
            number = looks.index(_look(one, system))
            name = METHODS[system.method].label + f" in {system.engine}" * bool(system.engine)
            name += f" (run {tags[one.run_id]})" if len(digests) > 1 else ""
            symbol, dash = ENGINE_SYMBOLS[number % len(ENGINE_SYMBOLS)], DASHES[number % len(DASHES)]
            found[one.run_id, system] = Mark(name, color_of(system), symbol, dash)
    return found


def tags_of(run_ids: Sequence[str]) -> dict[str, str]:
    """By run id, its last part; the whole id where two have the same."""
    ends = [run_id.rpartition("-")[2] for run_id in run_ids]
    return {
        run_id: end if ends.count(end) == 1 else run_id for run_id, end in zip(run_ids, ends, strict=True)
    }


def ordered(systems: Iterable[System]) -> list[System]:
    """Those of the plan's own engine first, by method; then those of other engines, likewise."""
    return sorted(systems, key=lambda one: (one.engine is not None, list(METHODS).index(one.method)))


def _look(digest: Digest, system: System) -> tuple[str, str]:
    return digest.run_id, str(digest.rows[system].get("engine"))
