"""The Kubernetes cluster: a real control plane, nodes kept alive by their machines, pods played by kwok."""
