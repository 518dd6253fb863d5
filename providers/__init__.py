"""Python dynamic providers: what the lab needs that no plugin serves, each a thin class that is importable by name."""
