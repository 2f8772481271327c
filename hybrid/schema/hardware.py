"""What a machine computes with: two that bear one marketing name may be of other generations."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256


@dataclass(frozen=True)
class Gpu:
    """One GPU. capability: CUDA's compute capability, such as 9.0. multiprocessors: SMs."""

    name: str
    capability: str
    memory_bytes: int
    multiprocessors: int


@dataclass(frozen=True)
class Hardware:
    """A machine by all that speed and kernels depend on; no vendor where nothing is known of it.

    vendor, family, model, stepping: of the CPU, as it numbers itself.
    instructions: sets that kernels choose between, such as avx512_vnni.
    caches: bytes that one of each holds, by name, such as L1d and L3.
    cores: physical ones. gpu: what a run used of them; None on a CPU.
    """

    vendor: str = ""
    family: str = ""
    model: str = ""
    stepping: str = ""
    instructions: tuple[str, ...] = ()
    caches: Mapping[str, int] = field(default_factory=dict)
    cores: int = 0
    gpu: Gpu | None = None

    @property
    def known(self) -> bool:
        """Tell whether it can be told from another; runs of before it was recorded cannot."""
        return bool(self.vendor)

    @property
    def fingerprint(self) -> str:
        """Give 6 hexadecimal digits of all fields; empty when it is not known."""
        text = json.dumps(asdict(self), sort_keys=True)
        return sha256(text.encode()).hexdigest()[:6] if self.known else ""
