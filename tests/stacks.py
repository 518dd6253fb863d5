"""What a run of the whole program under mocks is given: secrets that can be searched for, and computed outputs."""

from typing import Any

API_TOKEN = "sentinel@pve!token=5e471e10-0000-4000-8000-000000000000"
SECRETS = {
    "homelab:proxmoxApiToken": API_TOKEN,
    "homelab:pfsenseApiKey": "SENTINELpfsense0",
    "homelab:cloudflareApiToken": "SENTINEL-cloudflare-token-0123456789-0123456789",
}
COMPUTED: dict[str, dict[str, Any]] = {
    "pulumi-python:dynamic/generated:Token": {"value": "SENTINEL-generated-token"},
    "pulumi-python:dynamic/generated:SshKey": {
        "private_key": "SENTINEL-private-key",
        "public_key": "ssh-ed25519 AAAA compute-key",
    },
    "pulumi-python:dynamic/k3s:Node": {"host_key": "ssh-ed25519 PINNED"},
    "pulumi-python:dynamic/k3s:Kubeconfig": {"kubeconfig": "SENTINEL-kubeconfig"},
}
