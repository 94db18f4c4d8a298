"""The limits of the real services, in front of the embedded ones: an ASGI layer and a gRPC interceptor."""

CONTROL_PATH = "/_limits"
"""Beside the services: what was counted and refused so far, by the limits' names, as JSON. PUT lets time pass."""
