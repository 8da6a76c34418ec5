"""Measures the mesh against Envoy without it, and the control plane against a bare server."""
