"""The forms of single values, and the base of every section. A pattern says what Proxmox, DNS or Kubernetes accept."""

import ipaddress
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

DNS_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
DOMAIN = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
HTTPS = r"^https://[^\s/?#@]+(/[^\s?#]*)?$"
# An even first octet: an odd one is a group of machines, not one.
MAC = r"^[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}$"
HEX_ID = r"^[0-9a-f]{32}$"

# IPv4 only: docs/adr/0008-one-validated-model.md.
Address = ipaddress.IPv4Address
Network = ipaddress.IPv4Network

Label = Annotated[str, Field(pattern=DNS_LABEL)]
Domain = Annotated[str, Field(pattern=DOMAIN)]
Url = Annotated[str, Field(pattern=HTTPS, description="an https:// URL without credentials, query or fragment")]
# Proxmox answers with upper-case addresses; anything else would be a difference at each preview.
Mac = Annotated[str, Field(pattern=MAC), AfterValidator(str.upper)]
Vlan = Annotated[int, Field(ge=1, le=4094)]
# PVE::JSONSchema's format pve-storage-id.
Datastore = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$")]


class Section(BaseModel):
    """Refuse unknown keys and never repeat a value in pydantic's own error text."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class AddressRange(Section):
    """Addresses from ``first`` to ``last``, both included; written ``10.20.0.100-10.20.0.199``."""

    first: Address
    last: Address

    @model_validator(mode="before")
    @classmethod
    def _read(cls, data: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if isinstance(data, str) and data.count("-") == 1:
            first, last = (part.strip() for part in data.split("-"))
            return {"first": first, "last": last}
        return data

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.first > self.last:
            raise ValueError(f"begins with {self.first}, after its end {self.last}")
        return self

    def __contains__(self, address: Address) -> bool:
        return self.first <= address <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"
