"""The secrets that a stack needs, by the key under which Pulumi's configuration keeps them. No value stands here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from config.model import Lab


@dataclass(frozen=True)
class SecretKey:
    """One secret: its name in the configuration, the form of a good value, and the section of a lab that needs it.

    None is no section: every lab needs it.
    """

    name: str
    what: str
    shape: str
    form: re.Pattern[str]
    section: str | None = None

    def needed(self, lab: Lab) -> bool:
        """Tell whether ``lab`` needs it."""
        return self.section is None or getattr(lab, self.section) is not None

    def needed_by_data(self, data: Mapping[str, object]) -> bool:
        """Tell whether the lab that ``data`` describes, with or without faults, needs it."""
        return self.section is None or data.get(self.section) is not None


PROXMOX_API_TOKEN: Final = SecretKey(
    name="proxmoxApiToken",
    what="the Proxmox API token of docs/real-lab.md",
    shape="user@realm!name=uuid",
    form=re.compile(r"[^\s@!=]+@[^\s@!=]+![^\s@!=]+=[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
)
PFSENSE_API_KEY: Final = SecretKey(
    name="pfsenseApiKey",
    what="a key of pfSense's REST API (System, REST API, Keys)",
    shape="letters and digits, 16 or more",
    form=re.compile(r"[0-9A-Za-z]{16,128}"),
    section="firewall",
)
CLOUDFLARE_API_TOKEN: Final = SecretKey(
    name="cloudflareApiToken",
    what="a Cloudflare API token",
    shape="40 to 80 letters, digits, hyphens and underscores",
    # The form that Cloudflare's own provider checks.
    form=re.compile(r"[0-9A-Za-z_-]{40,80}"),
    section="edge",
)
SECRETS: Final = (PROXMOX_API_TOKEN, PFSENSE_API_KEY, CLOUDFLARE_API_TOKEN)
