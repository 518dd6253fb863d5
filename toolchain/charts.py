"""Versions of the charts that the program installs, for the sandbox: it serves them, and does not import `config`."""

from collections.abc import Mapping
from typing import NamedTuple

from config import versions


class Chart(NamedTuple):
    """A chart's version, and the version of what it installs unless told otherwise."""

    version: str
    app_version: str


CHARTS: Mapping[str, Chart] = {"argo-cd": Chart(versions.ARGOCD_CHART, versions.ARGOCD)}
