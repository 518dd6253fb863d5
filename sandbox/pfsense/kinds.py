"""The kinds of objects that this stand-in has, field by field as pfSense-pkg-RESTAPI declares them (Models/)."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Final

from sandbox.pfsense.errors import AbsentError, ConflictError, InvalidError
from sandbox.pfsense.fields import Field, Row

# The release of pfSense-pkg-RESTAPI whose models these are.
RELEASE: Final = "v2.10.0"

_LABEL: Final = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_FQDN: Final = rf"{_LABEL}(\.{_LABEL})+"
# pfSense's own words in rules, which no alias may take (is_validaliasname, FilterNameValidator).
_RESERVED: Final = ("any", "self", "pass", "block", "reject", "port", "pptp", "pppoe", "l2tp", "wan", "lan")
_LAST_PORT: Final = 65535


@dataclass(frozen=True)
class Interface:
    """An interface with a static address, and the range of its DHCP server if it has one."""

    name: str
    network: ipaddress.IPv4Network
    pool: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address] | None = None


@dataclass(frozen=True)
class Surroundings:
    """What else the firewall has when an object is checked."""

    interfaces: Mapping[str, Interface]
    aliases: Sequence[Row]
    parent: str = ""

    def has_alias(self, name: str, *, ports: bool) -> bool:
        """Tell whether there is an alias of ports, or of hosts or networks, of this name."""
        return any(row["name"] == name and (row["type"] == "port") is ports for row in self.aliases)


Agree = Callable[[Row, Surroundings], None]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of object: where it is in the API and in the firewall, and what is checked."""

    name: str
    path: str
    collection: str
    listing: str
    part: str
    fields: Mapping[str, Field]
    methods: Sequence[str] = ("GET",)
    subsystem: str = ""
    sort_by: str = ""
    unique_together: Sequence[str] = ()
    parent: bool = False
    minimum: int = 0
    agree: Agree = field(default=lambda _row, _surroundings: None)


def is_port(value: str) -> bool:
    """Tell whether a text is one port, or a range of them."""
    numbers = value.split(":") if re.fullmatch(r"\d{1,5}(:\d{1,5})?", value) else []
    ports = [int(number) for number in numbers]
    return bool(ports) and all(0 < port <= _LAST_PORT for port in ports) and ports == sorted(ports)


def is_address(value: str) -> bool:
    """Tell whether a text is an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def is_network(value: str) -> bool:
    """Tell whether a text is an IP network in CIDR notation."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return "/" in value


def is_fqdn(value: str) -> bool:
    """Tell whether a text is a name with a dot in it, and no address."""
    return bool(re.fullmatch(_FQDN, value)) and not is_address(value)


def _alias_name(name: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_]+", value):
        raise InvalidError(
            "FILTER_NAME_VALIDATOR_INVALID_CHARACTERS",
            f"Field '{name}' cannot be '{value}' because it contains invalid characters. ",
        )
    if value.lower() in _RESERVED:
        raise InvalidError(
            "FILTER_NAME_VALIDATOR_RESERVED_NAME_USED",
            f"Field '{name}' cannot be '{value}' because it is a name reserved by the system.",
        )
    if value.startswith("pkg_"):
        raise InvalidError(
            "FILTER_NAME_VALIDATOR_CANNOT_START_WITH_PKG",
            f"Field '{name}' cannot be '{value}' because it starts with 'pkg_'.",
        )
    if value.isdigit():
        raise InvalidError(
            "FILTER_NAME_VALIDATOR_CANNOT_BE_NUMERICAL",
            f"Field '{name}' cannot be '{value}' because it is entirely numerical.",
        )


def _mac(name: str, value: str) -> None:
    if not re.fullmatch(r"(?i)[0-9a-f]{2}(:[0-9a-f]{2}){5}", value):
        raise InvalidError(
            "MAC_ADDRESS_VALIDATOR_FAILED", f"Field `{name}` must be a valid MAC address, received `{value}`."
        )


def _hostname(name: str, value: str) -> None:
    if not re.fullmatch(rf"{_LABEL}(\.{_LABEL})*", value):
        raise InvalidError("HOSTNAME_VALIDATOR_FAILED", f"Field `{name}` must be a valid hostname, received `{value}`.")


def _address(*, ipv6: bool) -> Callable[[str, Any], None]:
    def check(name: str, value: str) -> None:
        if not is_address(value) or (":" in value and not ipv6):
            kinds = "IPv4 address, IPv6 address" if ipv6 else "IPv4 address"
            raise InvalidError(
                "IP_ADDRESS_VALIDATOR_FAILED", f"Field `{name}` must be a valid {kinds}, received `{value}`."
            )

    return check


def _alias(row: Row, around: Surroundings) -> None:
    type_, listed = row["type"], row["address"]
    # Type by type: what a single entry may be, and how pfSense calls the failure.
    takes: Mapping[str, tuple[Callable[[str], bool], str]] = {
        "port": (is_port, "port, range, or alias"),
        "host": (lambda value: is_address(value) or is_fqdn(value), "IP, FQDN, or alias"),
        "network": (lambda value: is_network(value) or is_fqdn(value), "CIDR, FQDN, or alias"),
    }
    accepts, words = takes[type_]
    for value in listed:
        if not accepts(value) and not around.has_alias(value, ports=type_ == "port"):
            raise InvalidError(
                f"INVALID_{type_.upper()}_ALIAS_ADDRESS",
                f"{type_.capitalize()} alias 'address' value '{value}' is not a valid {words}.",
            )
    if len(row["detail"]) > len(listed):
        raise InvalidError("TOO_MANY_ALIAS_DETAILS", "Aliases cannot contain more 'detail' items than 'address' items.")
    row["detail"] += [f"Entry added {formatdate()}"] * (len(listed) - len(row["detail"]))


def _rule(row: Row, around: Surroundings) -> None:
    for name in row["interface"]:
        if name not in (*around.interfaces, "any"):
            choices = ", ".join(around.interfaces)
            raise InvalidError("FIELD_INVALID_CHOICE", f"Field `interface` must be one of [{choices}]")
    if len(row["interface"]) > 1 and not row["floating"]:
        raise InvalidError(
            "FIREWALL_RULE_MULTIPLE_INTERFACE_WITHOUT_FLOATING",
            "Field `interface` cannot contain more than one value unless `floating` is enabled.",
        )
    if row["statetype"] == "synproxy state" and row["protocol"] != "tcp":
        raise InvalidError(
            "FIREWALL_RULE_SYNPROXY_STATE_TYPE_WITH_NON_TCP_PROTOCOL",
            "Field `statetype` cannot be set to `synproxy state` unless `protocol` is set to `tcp`.",
        )
    for name in ("source", "destination"):
        _filter_address(name, row[name], around)
    for name in ("source_port", "destination_port"):
        port = row[name]
        if port is not None and not is_port(port) and not around.has_alias(port, ports=True):
            raise InvalidError("PORT_FIELD_INVALID", f"Field `{name}` contains invalid port value `{port}`.")
    for name, model in (("gateway", "RoutingGateway"), ("sched", "FirewallSchedule")):
        if row[name] is not None:
            raise AbsentError(
                "FOREIGN_MODEL_FIELD_VALUE_NOT_FOUND",
                f"Field `{name}` could not locate `{model}` object with `name` set to `{row[name]}`",
            )


def _filter_address(name: str, given: str, around: Surroundings) -> None:
    value = given.removeprefix("!")
    if value == "any" and value != given:
        raise InvalidError("FILTER_RULE_ADDRESS_FIELD_WITH_INVERT_ANY", f"Field `{name}` cannot use invert prefix (!)")
    interface = value.removesuffix(":ip")
    known = value in ("any", "(self)", "l2tp", "pppoe") or interface in around.interfaces
    if not known and not is_address(value) and not is_network(value) and not around.has_alias(value, ports=False):
        raise InvalidError(
            "FILTER_ADDRESS_FIELD_INVALID",
            f"Field `{name}` value `{value}` is invalid. Valid options are: an existing interface, an IP address, a "
            "subnet CIDR, an existing alias, `any`, `(self)`, `l2tp`, `pppoe`",
        )


def _host_override(row: Row, _: Surroundings) -> None:
    for position, item in enumerate(row["aliases"]):
        before = [{**one, "id": at} for at, one in enumerate(row["aliases"][:position])]
        row["aliases"][position] = {
            name: field.settled(name, item, None, before) for name, field in OVERRIDE_ALIAS_FIELDS.items()
        }


def _static_mapping(row: Row, around: Surroundings) -> None:
    interface, given = around.interfaces[around.parent], row["ipaddr"]
    if given:
        address = ipaddress.IPv4Address(given)
        if interface.pool and interface.pool[0] <= address <= interface.pool[1]:
            raise ConflictError(
                "DHCP_SERVER_STATIC_MAPPING_IPADDR_OVERLAPS_EXISTING_OBJECT",
                "Field `ipaddr` overlaps existing DHCP Static Mapping with ID ``.",
            )
        if address not in interface.network:
            raise InvalidError(
                "DHCP_SERVER_STATIC_MAPPING_IPADDR_NOT_WITHIN_SUBNET",
                "Field `ipaddr` must be within the interface's subnet.",
            )
    if row["maxleasetime"] < row["defaultleasetime"]:
        raise InvalidError(
            "DHCP_SERVER_STATIC_MAPPING_MAX_LEASE_TIME_LESS_THAN_DEFAULT",
            "DHCP server `maxleasetime` cannot be less than the `defaultleasetime`",
        )


_PORTS: Final = {"protocol": ("tcp", "udp", "tcp/udp")}
_FLOATING: Final = {"floating": (True,)}
_STAMP: Final = Field(type=int, read_only=True)
_NAME: Final = Field(read_only=True)
_NULL: Final = Field(allow_null=True)
OVERRIDE_ALIAS_FIELDS: Final[Mapping[str, Field]] = {
    "host": Field(required=True, allow_empty=True, maximum_length=255, checks=[_hostname]),
    "domain": Field(required=True, maximum_length=255, checks=[_hostname]),
    "descr": Field(default="", allow_empty=True),
}
ALIAS: Final = Kind(
    name="alias",
    path="firewall/alias",
    collection="firewall/aliases",
    listing="aliases",
    part="firewall",
    methods=("GET", "PUT", "DELETE"),
    subsystem="aliases",
    fields={
        "name": Field(required=True, unique=True, editable=False, maximum_length=31, checks=[_alias_name]),
        "type": Field(required=True, choices=("host", "network", "port")),
        "descr": Field(default="", allow_empty=True),
        "address": Field(default=[], allow_empty=True, many=True, many_maximum=0),
        "detail": Field(default=[], allow_empty=True, many=True, many_maximum=0),
    },
    agree=_alias,
)
RULE: Final = Kind(
    name="rule",
    path="firewall/rule",
    collection="firewall/rules",
    listing="rules",
    part="firewall",
    methods=("GET", "PUT", "DELETE"),
    # The model names no subsystem, so pfSense does not say that changed rules wait to be applied.
    subsystem="",
    minimum=1,
    fields={
        "type": Field(required=True, choices=("pass", "block", "reject")),
        "interface": Field(required=True, many=True),
        "ipprotocol": Field(required=True, choices=("inet", "inet6", "inet46")),
        "protocol": Field(
            allow_null=True,
            choices=(
                *("tcp", "udp", "tcp/udp", "icmp", "esp", "ah", "gre", "ipv6", "igmp", "pim", "ospf", "carp", "pfsync"),
            ),
        ),
        "icmptype": Field(default=["any"], many=True, conditions={"protocol": ("icmp",)}),
        "source": Field(required=True),
        "source_port": Field(allow_null=True, conditions=_PORTS),
        "destination": Field(required=True),
        "destination_port": Field(allow_null=True, conditions=_PORTS),
        "descr": Field(default="", allow_empty=True),
        "disabled": Field(type=bool, default=False),
        "log": Field(type=bool, default=False),
        "dscp": Field(allow_empty=True, allow_null=True),
        "tag": Field(default="", allow_empty=True),
        "statetype": Field(default="keep state", choices=("keep state", "sloppy state", "synproxy state", "none")),
        "tcp_flags_any": Field(type=bool, default=False),
        "tcp_flags_out_of": Field(many=True, allow_null=True, conditions={"tcp_flags_any": (False,)}),
        "tcp_flags_set": Field(many=True, allow_null=True, conditions={"tcp_flags_any": (False,)}),
        "gateway": _NULL,
        "sched": _NULL,
        "dnpipe": _NULL,
        "pdnpipe": _NULL,
        "defaultqueue": _NULL,
        "ackqueue": _NULL,
        "floating": Field(type=bool, default=False, editable=False),
        "quick": Field(type=bool, default=False, conditions=_FLOATING),
        "direction": Field(default="any", choices=("any", "in", "out"), conditions=_FLOATING),
        "tracker": _STAMP,
        "associated_rule_id": _NAME,
        "created_time": _STAMP,
        "created_by": _NAME,
        "updated_time": _STAMP,
        "updated_by": _NAME,
    },
    agree=_rule,
)
HOST_OVERRIDE: Final = Kind(
    name="host override",
    path="services/dns_resolver/host_override",
    collection="services/dns_resolver/host_overrides",
    listing="hosts",
    part="services/dns_resolver",
    methods=("GET", "PUT", "DELETE"),
    subsystem="unbound",
    sort_by="host",
    unique_together=("host", "domain"),
    fields={
        "host": Field(required=True, allow_empty=True, maximum_length=255, checks=[_hostname]),
        "domain": Field(required=True, maximum_length=255, checks=[_hostname]),
        "ip": Field(required=True, many=True, checks=[_address(ipv6=True)]),
        "descr": Field(default="", allow_empty=True),
        "aliases": Field(type=dict, default=[], allow_empty=True, many=True),
    },
    agree=_host_override,
)
STATIC_MAPPING: Final = Kind(
    name="static mapping",
    path="services/dhcp_server/static_mapping",
    collection="services/dhcp_server/static_mappings",
    listing="mappings",
    part="services/dhcp_server",
    methods=("GET", "DELETE"),
    subsystem="dhcpd",
    sort_by="ipaddr",
    parent=True,
    fields={
        "mac": Field(required=True, unique=True, checks=[_mac]),
        "ipaddr": Field(allow_empty=True, allow_null=True, checks=[_address(ipv6=False)]),
        "cid": Field(allow_empty=True, allow_null=True),
        "hostname": Field(allow_empty=True, allow_null=True, checks=[_hostname]),
        "domain": Field(default="", allow_empty=True, maximum_length=255),
        "domainsearchlist": Field(default=[], allow_empty=True, many=True, maximum_length=255, checks=[_hostname]),
        "defaultleasetime": Field(type=int, default=7200, allow_null=True),
        "maxleasetime": Field(type=int, default=86400, allow_null=True),
        "gateway": Field(default="", allow_empty=True, maximum_length=15, checks=[_address(ipv6=False)]),
        "dnsserver": Field(
            default=[], allow_empty=True, many=True, many_maximum=4, maximum_length=15, checks=[_address(ipv6=False)]
        ),
        "winsserver": Field(
            default=[], allow_empty=True, many=True, many_maximum=2, maximum_length=15, checks=[_address(ipv6=False)]
        ),
        "ntpserver": Field(default=[], allow_empty=True, many=True, many_maximum=3, maximum_length=256),
        "arp_table_static_entry": Field(type=bool, default=False),
        "descr": Field(default="", allow_empty=True, maximum_length=255),
    },
    agree=_static_mapping,
)
KINDS: Final = (ALIAS, RULE, HOST_OVERRIDE, STATIC_MAPPING)
