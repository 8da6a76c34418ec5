"""Nodes: the hosts that have joined, and the authority that signs their certificates."""

from fastapi import APIRouter, Request, Response

from tulle.api.answer import answer
from tulle.api.audit import notes
from tulle.api.backend import AuthorityState, RemovedNode
from tulle.api.context import Given
from tulle.api.errors import not_found
from tulle.api.messages import NodeList
from tulle.api.openapi import answers, ref

router = APIRouter(tags=["nodes"])


@router.get("/v1/nodes", responses=answers(ref(NodeList)))
async def list_nodes(backend: Given) -> Response:
    return answer(NodeList(backend.nodes()))


@router.get("/v1/authority", responses=answers(ref(AuthorityState)))
async def get_authority(backend: Given) -> Response:
    return answer(backend.authority())


@router.delete("/v1/nodes/{name}", responses=answers(ref(RemovedNode)))
async def remove_node(backend: Given, request: Request, name: str) -> Response:
    notes(request.scope).objects = (f"Node/{name}",)
    removed = await backend.remove_node(name)
    if removed is None:
        raise not_found(f"a node {name[:100]!r}")
    return answer(removed)
