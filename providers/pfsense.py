"""Objects of a pfSense firewall as resources: aliases, rules, names and reservations, and what lets them take force.

A change is kept by pfSense and takes force when it is applied. Creating and updating leave that to one `Apply` that
comes after all of them; deleting, which Pulumi does last, applies by itself, together with the deletions beside it.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar
from uuid import uuid4

import pulumi
from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    Resource,
    UpdateResult,
)

from providers import pfsense_objects as objects
from providers.base import Props, Provider, changed
from providers.pfsense_api import Batch, PfSense, persist
from providers.pfsense_objects import Kind

KEY = "homelab:pfsenseApiKey"
# Where the world comes in. No rule of the lab is ever made there: the way in is the tunnel.
OUTSIDE = ("wan", "any")

_BATCHES = {apply: Batch() for apply in {kind.apply for kind in objects.KINDS}}


class _PfSenseProvider(Provider):
    """Reach the firewall with the stack's key, which is in the configuration and in no resource's state."""

    _key: str

    def configure(self, req: ConfigureRequest) -> None:
        """Take the key."""
        super().configure(req)
        self._key = str(req.config.get(KEY) or "")

    def _api(self, props: Props) -> PfSense:
        return PfSense(str(props["endpoint"]), self._key)


class _ObjectProvider(_PfSenseProvider):
    """Keep one object as it is wanted; the kinds differ in `kind` only."""

    kind: ClassVar[Kind]

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Another natural key is another object; all else, and what was done by hand, is mended in place."""
        kind = self.kind
        replaces = [name for name in kind.key if kind.chosen(_olds)[name] != kind.chosen(_news)[name]]
        replaces += changed(_olds, _news, ["parent_id"]) if kind.parent else []
        touched = kind.chosen(_olds) != kind.chosen(_news) or changed(_olds, _news, ["endpoint", "after", "owner"])
        drifted = _olds.get("copies") != 1 or _olds.get("placed") is False
        return DiffResult(
            changes=bool(replaces or touched or drifted),
            replaces=replaces,
            # A machine's address must not be promised twice.
            delete_before_replace=kind.parent,
        )

    def create(self, props: Props) -> CreateResult:
        """Make the object, or take over the one that is there."""
        return CreateResult(self.kind.identity(props), self._establish(props, "create", own=False))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Bring the object to what is wanted; make it anew if somebody deleted it."""
        return UpdateResult(self._establish(_news, "update", own=True))

    def _establish(self, props: Props, operation: str, *, own: bool) -> Props:
        api = self._api(props)
        persist(f"{self.kind.label(props)}: {operation}", partial(objects.establish, api, self.kind, props, own=own))
        # Whoever applies sees by `written` that there is something to apply.
        return {**props, **self.kind.chosen(props), "copies": 1, "placed": True, "written": uuid4().hex}

    def read(self, id_: str, props: Props) -> ReadResult:
        """Look at the object; one that is gone is no resource any more."""
        look = partial(objects.observe, self._api(props), self.kind, props)
        seen = persist(f"{self.kind.label(props)}: read", look)
        return ReadResult(id_ if seen else "", {**props, **(seen or {})})

    def delete(self, _id: str, _props: Props) -> None:
        """Delete the object and let that take force."""
        api, kind = self._api(_props), self.kind
        what = f"{kind.label(_props)}: delete"
        _BATCHES[kind.apply].change(
            write=lambda: persist(what, partial(objects.remove, api, kind, _props)),
            apply=lambda: persist(f"{what}: {kind.apply}", partial(api.apply, kind.apply)),
        )


class AliasProvider(_ObjectProvider):
    """Aliases."""

    kind = objects.ALIAS


class RuleProvider(_ObjectProvider):
    """Rules of the packet filter."""

    kind = objects.RULE

    def check(self, _olds: Props, news: Props) -> CheckResult:
        """Refuse a rule where the world comes in, whoever asks for it."""
        failures = [
            CheckFailure("interface", f"{news.get('descr')}: no rule is made on {name}, the tunnel is the way in")
            for name in news.get("interface") or []
            if str(name).lower() in OUTSIDE
        ]
        return CheckResult(news, failures)


class HostOverrideProvider(_ObjectProvider):
    """Names that the DNS resolver answers itself."""

    kind = objects.HOST_OVERRIDE


class StaticMappingProvider(_ObjectProvider):
    """Reservations of the DHCP server."""

    kind = objects.STATIC_MAPPING


class ApplyProvider(_PfSenseProvider):
    """Let the changes of one part of pfSense take force."""

    def diff(self, _id: str, _olds: Props, _news: Props) -> DiffResult:
        """Apply when an object was written, and when somebody left something that is not applied."""
        touched = changed(_olds, _news, ["endpoint", "owner", "written"])
        replaces = changed(_olds, _news, ["part"])
        return DiffResult(changes=bool(touched or replaces or not _olds.get("applied")), replaces=replaces)

    def create(self, props: Props) -> CreateResult:
        """Apply."""
        return CreateResult(str(props["part"]), self._apply(props))

    def update(self, _id: str, _olds: Props, _news: Props) -> UpdateResult:
        """Apply again."""
        return UpdateResult(self._apply(_news))

    def _apply(self, props: Props) -> Props:
        api, part = self._api(props), str(props["part"])
        persist(f"{part}: apply", partial(api.apply, part))
        return {**props, "applied": True, "rules": self._rules(props)}

    def _rules(self, props: Props) -> str:
        part = str(props["part"])
        brief = partial(objects.rules_in_brief, self._api(props), part, str(props["owner"]))
        return persist(f"{part}: read", brief)

    def read(self, id_: str, props: Props) -> ReadResult:
        """See whether something waits to be applied. pfSense does not say so of rules: these are compared."""
        api, part = self._api(props), str(props["part"])
        status = persist(f"{part}: read", partial(api.get, part))
        in_force = bool(status["applied"]) and self._rules(props) == props["rules"]
        return ReadResult(id_, {**props, "applied": in_force})


class Object(Resource, module="pfsense", name="Object"):
    """What all objects have: ``written`` changes whenever the object was written."""

    written: pulumi.Output[str]

    def __init__(
        self, provider: _ObjectProvider, name: str, props: Mapping[str, Any], opts: pulumi.ResourceOptions | None
    ) -> None:
        observed = {"copies": None, "placed": None, "written": None}
        super().__init__(provider, name, {**provider.kind.fields, **observed, **props}, opts)


class Alias(Object, module="pfsense", name="Alias"):
    """A name for hosts, networks or ports, by which rules refer to them.

    ``entries`` are addresses, networks or ports by what each is for: ``{"10.20.0.11": "k3s-server-1"}``.
    """

    def __init__(  # noqa: PLR0913 - what an alias is
        self,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        endpoint: str,
        alias: str,
        type_: str,
        descr: str,
        entries: Mapping[str, str],
    ) -> None:
        """Declare an alias of ``type_`` host, network or port."""
        chosen = {"name": alias, "type": type_, "descr": descr}
        listed = {"address": list(entries), "detail": list(entries.values())}
        super().__init__(AliasProvider(), name, {"endpoint": endpoint, **chosen, **listed}, opts)


class Rule(Object, module="pfsense", name="Rule"):
    """A rule for what comes in at one interface; the first that matches decides.

    Its description begins with ``owner`` and identifies it. It stands directly below the rule whose description is
    ``after``, or above all others of its interface.
    """

    def __init__(  # noqa: PLR0913 - what a rule is
        self,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        endpoint: str,
        owner: str,
        descr: str,
        after: str,
        type_: str,
        interface: str,
        protocol: str | None,
        source: str,
        destination: str,
        destination_port: str | None = None,
        log: bool = False,
    ) -> None:
        """Declare a rule for IPv4; ``type_`` is pass, block or reject, and no ``protocol`` is any."""
        matched = {"source": source, "destination": destination, "destination_port": destination_port}
        decided = {"type": type_, "interface": [interface], "ipprotocol": "inet", "protocol": protocol, "log": log}
        own = {"endpoint": endpoint, "owner": owner, "descr": descr, "after": after}
        super().__init__(RuleProvider(), name, {**own, **decided, **matched}, opts)


class HostOverride(Object, module="pfsense", name="HostOverride"):
    """A name below ``domain`` and its addresses."""

    def __init__(  # noqa: PLR0913 - what a name is
        self,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        endpoint: str,
        host: str,
        domain: str,
        addresses: Sequence[str],
        descr: str,
    ) -> None:
        """Declare a name."""
        props = {"endpoint": endpoint, "host": host, "domain": domain, "ip": list(addresses), "descr": descr}
        super().__init__(HostOverrideProvider(), name, props, opts)


class StaticMapping(Object, module="pfsense", name="StaticMapping"):
    """The address that the DHCP server of an interface keeps for a machine."""

    def __init__(  # noqa: PLR0913 - what a reservation is
        self,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        endpoint: str,
        interface: str,
        mac: str,
        address: str,
        hostname: str,
        domain: str,
        descr: str,
    ) -> None:
        """Declare a reservation."""
        # pfSense writes them in lower case, as its own pages do.
        who = {"parent_id": interface, "mac": mac.lower(), "hostname": hostname, "domain": domain}
        props = {"endpoint": endpoint, **who, "ipaddr": address, "descr": descr}
        super().__init__(StaticMappingProvider(), name, props, opts)


class Apply(Resource, module="pfsense", name="Apply"):
    """Let what was written take force, once it all is; ``part`` is a path such as ``firewall/apply``."""

    def __init__(  # noqa: PLR0913 - what an apply is
        self,
        name: str,
        opts: pulumi.ResourceOptions | None = None,
        *,
        endpoint: str,
        owner: str,
        part: str,
        written: Mapping[str, pulumi.Input[str]],
    ) -> None:
        """Declare that what ``written`` says of each object, by name, is applied."""
        own = {"endpoint": endpoint, "owner": owner, "part": part}
        props = {**own, "written": written, "applied": None, "rules": None}
        super().__init__(ApplyProvider(), name, props, opts)
