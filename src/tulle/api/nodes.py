"""Nodes: the hosts whose agents have been seen."""

from fastapi import APIRouter, Response

from tulle.api.answer import answer
from tulle.api.context import Given
from tulle.api.messages import NodeList
from tulle.api.openapi import answers, ref

router = APIRouter(tags=["nodes"])


@router.get("/v1/nodes", responses=answers(ref(NodeList)))
async def list_nodes(backend: Given) -> Response:
    return answer(NodeList(backend.nodes()))
