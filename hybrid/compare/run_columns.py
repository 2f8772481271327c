"""The conditions of a run as cells of a table: what a summary row and a record's row say of it."""

from collections.abc import Mapping

from hybrid.schema import Environment, Run, System

# Name and meaning of every column, in order: an interface, names are only ever added.
CONDITIONS: Mapping[str, str] = {
    "run_id": "the run",
    "created_at": "when it began, ISO 8601, UTC",
    "finished_at": "when it was finished; empty when it is incomplete",
    "suite": "what was answered",
    "suite_hash": "SHA-256 of the suite's task and texts",
    "licence": "of the suite's texts",
    "task": "what was asked",
    "pair": "the pair of models",
    "weights_sha256": "of the pair's manifest, which holds the hash of every file",
    "engine": "what ran the models",
    "device": "where they ran",
    "device_name": "the device's own name",
    "dtype": "precision",
    "threads": "of the CPU",
    "batch_size": "prompts answered at once",
    "repeats": "how often each example was to be answered",
    "limit": "examples asked for; empty for all",
    "seed": "of the order of the examples",
    "max_new_tokens": "upper bound on generated tokens",
    "ignore_eos": "true for fixed-length runs, which carry no quality",
    "truncate": "whether prompts that are too long were cut",
    "product": "version of hybrid-bench",
    "code": "commit, with +changes when files differed from it",
    "python": "version",
    "operating_system": "name and version",
    "cpu": "model",
    "cpu_count": "logical CPUs",
    "memory_bytes": "of the machine",
    "packages": "versions of what the numbers depend on",
    "engine_options": "settings of the engine",
    "memory_bandwidth": "bytes per second that the device reads from its memory; empty when not measured",
    "decode_bytes": "weight bytes that each decoded token reads once for a batch; empty when not known",
    "encode_flops": "floating point operations for each token of the prompt; empty when not known",
    "attention_flops": "and for each pair of them",
}


def conditions(
    run: Run, environment: Environment, system: System
) -> dict[str, str | int | float | bool | None]:
    """Give a cell for each of CONDITIONS. environment: the run's, or that of records after a resumption."""
    parts = (run, run.plan, run.plan.sampling, environment)
    cells = {name: getattr(part, name) for name in CONDITIONS for part in parts if hasattr(part, name)}
    packages = "; ".join(f"{name} {version}" for name, version in environment.packages.items())
    ran = run.ran_as(system)
    return cells | {
        "operating_system": environment.system,
        "packages": packages,
        "engine": ran.engine,
        "device": ran.device,
        "dtype": ran.dtype,
        "engine_options": "; ".join(f"{name}={value}" for name, value in ran.options.items()),
        "decode_bytes": ran.decode_bytes or None,
        "encode_flops": ran.encode_flops or None,
        "attention_flops": ran.attention_flops or None,
    }
