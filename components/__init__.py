"""The layers of the lab as components, bottom to top: compute, cluster, delivery, apps."""
