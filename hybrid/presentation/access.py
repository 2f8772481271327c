"""Who may do what on the pages, by how their server was started.

Whoever reaches the machine's own loopback address is its user, and may measure, import and delete. A server
that others reach takes a token for that; without it, and for all when it is read-only, stored results can be
looked at. The address with the token is printed by `hybrid app`; SECURITY.md says what this protects.
"""

import hmac
import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Self

from hybrid.errors import SuiteError
from hybrid.store.folders import suites_folder
from hybrid.suites.files import files_of

READ_ONLY, ANY_FILE, TOKEN = "HYBRID_READ_ONLY", "HYBRID_ANY_FILE", "HYBRID_TOKEN"  # of the environment
ON = "1"
FILE = "file:"  # how the name of a suite begins that is a path


def is_loopback(address: str) -> bool:
    """Tell whether only this machine reaches a server at the address; an empty one is every address."""
    try:
        return address == "localhost" or ip_address(address).is_loopback
    except ValueError:  # a name, which may be anyone's
        return False


@dataclass(frozen=True)
class Access:
    """What a server allows. address: where it listens. token: empty when it has none."""

    address: str
    read_only: bool = False
    any_file: bool = False
    token: str = field(default="", repr=False)

    @classmethod
    def of_server(cls, address: str) -> Self:
        """Read what `hybrid app` has put into the environment."""
        read_only, any_file = (os.environ.get(name) == ON for name in (READ_ONLY, ANY_FILE))
        return cls(address, read_only, any_file, os.environ.get(TOKEN, ""))

    def refusal(self, token: str) -> str | None:
        """Why a visitor with this token can only look, in a sentence; None when all is allowed."""
        if self.read_only:
            return (
                "This bench is read-only: what is stored can be looked at, and nothing is measured, imported "
                "or deleted here."
            )
        if is_loopback(self.address) or self.accepts(token):
            return None
        return (
            "Stored results can be looked at. To measure, import or delete, open the address with the token "
            "that `hybrid app --host` printed when it was started."
        )

    def accepts(self, token: str) -> bool:
        """Tell whether it is the server's token."""
        return bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())

    def suite(self, name: str) -> str:
        """Give the name of a suite as it may be measured: a path lies in suites_folder(), and is made whole.

        Raises SuiteError for one that leads elsewhere, where not any file may be named.
        """
        if self.any_file or not name.startswith(FILE):
            return name
        folder = suites_folder().resolve()
        paths = [path.resolve() for path in files_of(name.removeprefix(FILE), folder)]  # through links
        several = len(paths) > 1  # whose whole names are parted by commas again
        if any(
            path == folder or not path.is_relative_to(folder) or (several and "," in str(path))
            for path in paths
        ):
            raise SuiteError(
                f"{name} is not in the folder of suites, suites/ beside the stored runs or what "
                "HYBRID_SUITES names. Put the file there and write file:NAME; `hybrid app --any-file` allows "
                "any path."
            )
        return FILE + ",".join(map(str, paths))
