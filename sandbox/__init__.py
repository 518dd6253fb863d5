"""The embedded lab: real Kubernetes and Argo CD on loopback, stand-ins where hardware or an account would be needed.

It knows nothing of the program that provisions it: both meet only through the APIs that a real lab has too.
"""
