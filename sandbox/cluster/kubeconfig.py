"""Kubeconfigs in the shape that K3s writes: one cluster, one user, everything embedded."""

import base64
from collections.abc import Mapping
from pathlib import Path

import yaml

from sandbox.pki import KeyPair


def kubeconfig(server: str, authority: Path, user: Mapping[str, str], namespace: str = "default") -> bytes:
    """Return a kubeconfig for ``server``, whose certificate ``authority`` has signed."""
    cluster = {"certificate-authority-data": _base64(authority), "server": server}
    context = {"cluster": "default", "user": "default", "namespace": namespace}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default", "cluster": cluster}],
        "users": [{"name": "default", "user": dict(user)}],
        "contexts": [{"name": "default", "context": context}],
        "current-context": "default",
    }
    return yaml.safe_dump(content).encode()


def certificate_user(pair: KeyPair) -> Mapping[str, str]:
    """Return the user who shows the client certificate of ``pair``."""
    return {"client-certificate-data": _base64(pair.certificate), "client-key-data": _base64(pair.key)}


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
