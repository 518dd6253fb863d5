"""A stand-in for the API of a Proxmox VE cluster: its state on disk, its rules checked, its machines run by others.

`Datacenter` holds the hosts, their storage and the virtual machines; `application` serves them as ``/api2/json``.
What a machine does while it is powered is not known here: the datacenter only tells a `Machines` when to boot, halt
and discard one. Everything that the stand-in does not model is refused with status 501 and logged, never faked.
"""

from sandbox.proxmox.api import application
from sandbox.proxmox.datacenter import Datacenter
from sandbox.proxmox.machine import Machine, Machines
from sandbox.proxmox.state import GIB, Host, Storage

__all__ = ["GIB", "Datacenter", "Host", "Machine", "Machines", "Storage", "application"]
