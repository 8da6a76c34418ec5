"""Validates what types cannot: the rules between the fields of a resource, all problems at once."""

from collections.abc import Iterator

from tulle.model.app import App
from tulle.model.grpc_route import GRPCRoute
from tulle.model.http_route import HTTPRoute
from tulle.model.kinds import Resource
from tulle.model.mesh import Mesh
from tulle.model.problem import Problem
from tulle.model.rules.app import app_problems
from tulle.model.rules.grpc_route import grpc_route_problems
from tulle.model.rules.http_route import http_route_problems
from tulle.model.rules.mesh import mesh_problems
from tulle.model.rules.metadata import metadata_problems
from tulle.model.rules.service import service_account_problems, service_problems
from tulle.model.rules.tcp_route import tcp_route_problems
from tulle.model.rules.workload import workload_problems
from tulle.model.service import Service
from tulle.model.tcp_route import TCPRoute
from tulle.model.workload import Workload


def validate(resource: Resource) -> tuple[Problem, ...]:
    """The problems of a resource whose shape is right; none means that it can be stored."""
    return (*metadata_problems(resource), *_spec_problems(resource))


def _spec_problems(resource: Resource) -> Iterator[Problem]:
    match resource:
        case Service(spec=spec):
            yield from service_problems(spec)
            yield from service_account_problems(resource)
        case HTTPRoute(spec=spec):
            yield from http_route_problems(spec)
        case GRPCRoute(spec=spec):
            yield from grpc_route_problems(spec)
        case TCPRoute(spec=spec):
            yield from tcp_route_problems(spec)
        case App(spec=spec):
            yield from app_problems(spec)
        case Workload(spec=spec):
            yield from workload_problems(spec)
        case Mesh(spec=spec):
            yield from mesh_problems(spec)
