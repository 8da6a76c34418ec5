"""Objects one by one and in lists, at the paths that Kubernetes would have them at."""

import asyncio
from typing import Annotated, Literal, TypeAlias

from fastapi import APIRouter, Header, Query, Request, Response

from tulle.api.answer import answer
from tulle.api.audit import notes
from tulle.api.backend import Backend, Status
from tulle.api.body import read_json
from tulle.api.context import Given
from tulle.api.errors import error, invalid, not_found
from tulle.api.messages import Deleted, ListMetadata, ResourceList
from tulle.api.objects import Checked, Place, check_at, labels, place, read_revision, shown
from tulle.api.openapi import RESOURCE, RESOURCE_LIST, answers, ref, takes
from tulle.api.selector import Selector, parse_selector
from tulle.api.watch import watch
from tulle.api.writing import Written, write
from tulle.model.problem import Problem
from tulle.store.protocol import Delete

DryRun: TypeAlias = Annotated[
    Literal["All"] | None, Query(alias="dryRun", description="Check and answer, but store nothing")
]
IfMatch: TypeAlias = Annotated[str | None, Header(description="The ETag that the object must have now")]
LabelSelector: TypeAlias = Annotated[str, Query(alias="labelSelector", max_length=4096)]
Revision: TypeAlias = Annotated[int | None, Query(alias="resourceVersion", ge=0, description="Watch from here")]
LastEvent: TypeAlias = Annotated[int | None, Header(alias="Last-Event-ID", ge=0)]

NAMESPACED = "/v1/namespaces/{namespace}/{plural}"
CLUSTER = "/v1/{plural}"

_SLICE = 200  # objects that are encoded before others get their turn

router = APIRouter(tags=["resources"])


@router.get(NAMESPACED + "/{name}/status", responses=answers(ref(Status)))
@router.get(CLUSTER + "/{name}/status", responses=answers(ref(Status)))
async def get_status(backend: Given, plural: str, name: str, namespace: str = "") -> Response:
    target = place(plural, namespace, name)
    if await backend.store.get(target.ref) is None:
        raise not_found(str(target.ref))
    return answer(backend.status(target.ref))


@router.get(NAMESPACED + "/{name}", responses=answers(RESOURCE))
@router.get(CLUSTER + "/{name}", responses=answers(RESOURCE))
async def get_object(backend: Given, plural: str, name: str, namespace: str = "") -> Response:
    target = place(plural, namespace, name)
    stored = await backend.store.get(target.ref)
    if stored is None:
        raise not_found(str(target.ref))
    return answer(shown(stored, backend.status(stored.ref)), headers=_etag(stored.revision))


@router.get(NAMESPACED, responses=answers(RESOURCE_LIST))
@router.get(CLUSTER, responses=answers(RESOURCE_LIST))
async def list_objects(
    backend: Given,
    plural: str,
    namespace: str = "",
    label_selector: LabelSelector = "",
    watching: Annotated[bool, Query(alias="watch", description="Server-sent events instead of a list")] = False,
    resource_version: Revision = None,
    last_event_id: LastEvent = None,
) -> Response:
    target = place(plural, namespace)
    selector = parse_selector(label_selector)
    if isinstance(selector, Problem):
        raise invalid((selector,))
    if watching:
        since = resource_version if last_event_id is None else last_event_id
        return watch(backend, target, selector, since)
    return answer(await _list(backend, target, selector))


@router.post(NAMESPACED, status_code=201, responses=answers(RESOURCE, "Created", 201), openapi_extra=takes(RESOURCE))
@router.post(CLUSTER, status_code=201, responses=answers(RESOURCE, "Created", 201), openapi_extra=takes(RESOURCE))
async def create_object(
    backend: Given, request: Request, plural: str, namespace: str = "", dry_run: DryRun = None
) -> Response:
    checked = await _checked(request, place(plural, namespace))
    item = Checked(checked.resource, 0)
    (written,) = await write(request, backend.store, [item], dry_run is not None)
    return _written(backend, written)


@router.put(NAMESPACED + "/{name}", responses=answers(RESOURCE), openapi_extra=takes(RESOURCE))
@router.put(CLUSTER + "/{name}", responses=answers(RESOURCE), openapi_extra=takes(RESOURCE))
async def put_object(
    backend: Given,
    request: Request,
    plural: str,
    name: str,
    namespace: str = "",
    dry_run: DryRun = None,
    if_match: IfMatch = None,
) -> Response:
    target = place(plural, namespace, name)
    notes(request.scope).name([target.ref])
    checked = await _checked(request, target)
    expected = _revision(if_match)
    if expected is not None and checked.expected not in (None, expected):
        raise error(400, "BadRequest", "If-Match and metadata.resourceVersion differ; send one of them")
    item = Checked(checked.resource, checked.expected if expected is None else expected)
    (written,) = await write(request, backend.store, [item], dry_run is not None)
    return _written(backend, written)


@router.delete(NAMESPACED + "/{name}", responses=answers(ref(Deleted)))
@router.delete(CLUSTER + "/{name}", responses=answers(ref(Deleted)))
async def delete_object(
    backend: Given,
    request: Request,
    plural: str,
    name: str,
    namespace: str = "",
    dry_run: DryRun = None,
    if_match: IfMatch = None,
) -> Response:
    target = place(plural, namespace, name)
    notes(request.scope).name([target.ref])
    store, change = backend.store, Delete(target.ref, _revision(if_match))
    (event,) = await (store.write([change]) if dry_run is None else store.rehearse([change]))
    notes(request.scope).revision = event.revision
    return answer(Deleted(str(target.ref), str(event.revision)))


async def _list(backend: Backend, target: Place, selector: Selector) -> ResourceList:
    """Gives way now and then, so that a long list does not hold up everybody else."""
    listing = await backend.store.list(target.kind.name, target.namespace)
    items = []
    for number, stored in enumerate(listing.items):
        if number % _SLICE == 0:
            await asyncio.sleep(0)
        if not selector.requirements or selector.matches(labels(stored)):
            items.append(shown(stored, backend.status(stored.ref)))
    return ResourceList(ListMetadata(str(listing.revision)), tuple(items))


async def _checked(request: Request, target: Place) -> Checked:
    checked = check_at(await read_json(request), target)
    if isinstance(checked, Checked):
        return checked
    raise invalid(checked)


def _written(backend: Backend, written: Written) -> Response:
    status = 201 if written.outcome == "created" else 200
    headers: dict[str, str] = {"Tulle-Outcome": written.outcome}
    if written.stored.revision:
        headers |= _etag(written.stored.revision)
    return answer(shown(written.stored, backend.status(written.stored.ref)), status, headers)


def _etag(revision: int) -> dict[str, str]:
    return {"ETag": f'"{revision}"'}


def _revision(if_match: str | None) -> int | None:
    """The revision that an If-Match header asks for; raises ApiError for anything but one ETag of this server."""
    if if_match is None:
        return None
    tag = if_match.strip()
    expected = read_revision(tag[1:-1]) if tag == f'"{tag[1:-1]}"' else None
    if expected is None:
        raise error(400, "BadRequest", f'If-Match {if_match!r} is no ETag of this server, such as "12"')
    return expected
