"""Views: the part of a snapshot that one key needs."""

from tulle.view.build import build
from tulle.view.reader import Reader
from tulle.view.roots import agent_may_ask, client_namespaces, may_ask, roots
from tulle.view.types import View

__all__ = ["Reader", "View", "agent_may_ask", "build", "client_namespaces", "may_ask", "roots"]
