"""Whether a component of the control plane is ready, by its own health endpoint over verified TLS."""

import ssl

import httpx

from sandbox.pki import Authority, KeyPair


class Ready:
    """Asks ``url`` for success; ``client`` is the certificate to show, where one is wanted."""

    def __init__(self, url: str, authority: Authority, client: KeyPair | None = None) -> None:
        self._url = url
        self._authority = authority
        self._client = client

    async def __call__(self) -> bool:
        context = ssl.create_default_context(cafile=str(self._authority.certificate))
        if self._client:
            context.load_cert_chain(self._client.certificate, self._client.key)
        try:
            async with httpx.AsyncClient(verify=context, timeout=5, trust_env=False) as client:
                return (await client.get(self._url)).is_success
        except httpx.TransportError:
            return False
