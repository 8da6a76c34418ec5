"""Rules."""

from tulle.model.kinds import Resource
from tulle.model.problem import Problem


def validate(resource: Resource) -> tuple[Problem, ...]:
    return ()
