"""Commands: what people type. Offline ones call the pure core; the rest speak HTTP to the control plane."""

from tulle.cli.app import main

__all__ = ["main"]
