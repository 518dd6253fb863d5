"""What a lab downloads, served on loopback: K3s releases, VM images, Helm charts, and the Git repository of its manifests."""
