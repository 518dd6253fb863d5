"""The Kubernetes cluster of the sandbox: real control plane, nodes kept alive by their machines, pods played by kwok."""
