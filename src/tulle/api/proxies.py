"""Proxies: whether each has what it should have, and what that is."""

from fastapi import APIRouter, Response

from tulle.api.answer import answer
from tulle.api.context import Given
from tulle.api.errors import not_found
from tulle.api.messages import ProxyList, XdsDump
from tulle.api.openapi import answers, ref
from tulle.model.names import ProxyId

router = APIRouter(tags=["proxies"])


@router.get("/v1/proxies", responses=answers(ref(ProxyList)))
async def list_proxies(backend: Given) -> Response:
    return answer(ProxyList(backend.proxies()))


@router.get("/v1/proxies/{proxy}/xds", responses=answers(ref(XdsDump)))
async def get_xds(backend: Given, proxy: str) -> Response:
    known = ProxyId.parse(proxy)
    resources = backend.xds(known) if known else None
    if resources is None:
        raise not_found(f"a proxy {proxy!r}")
    return answer(XdsDump(proxy, resources))
