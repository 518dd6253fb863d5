"""Releases of K3s by their names, such as v1.2.3+k3s1."""

import re
from typing import NamedTuple, Self

_NAME = re.compile(r"v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\+k3s([1-9][0-9]*)")


class K3sVersion(NamedTuple):
    """A version of Kubernetes, and which of K3s' own releases of it; a later release compares as greater."""

    major: int
    minor: int
    patch: int
    release: int

    @classmethod
    def parse(cls, name: str) -> Self:
        """Read the name of a release.

        Raises:
            ValueError: it is not of the form v1.2.3+k3s1; a release candidate is not either.
        """
        found = _NAME.fullmatch(name)
        if found is None:
            raise ValueError(f"{name!r} is not the name of a K3s release, such as v1.2.3+k3s1")
        return cls(*(int(number) for number in found.groups()))
