"""What a lab downloads: K3s releases, VM images, Helm charts, and the Git repository of its manifests."""
