"""Views: the part of a snapshot that one key needs."""

from tulle.view.build import build
from tulle.view.reader import Reader
from tulle.view.scope import Scope, agent_may_ask, scope
from tulle.view.types import View

__all__ = ["Reader", "Scope", "View", "agent_may_ask", "build", "scope"]
