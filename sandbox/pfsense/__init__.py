"""A stand-in for pfSense's REST API v2: its envelope and errors, its checks, ids that shift, changes that wait."""
