"""What runs inside the virtual machines: a disk, an SSH server, a few commands, and K3s as a service."""
