"""Says what the shop sells. VERSION=v2 knows one fabric more and tells a story about each."""

import os
from collections.abc import Mapping
from urllib.parse import SplitResult

from serving import Reply, json_reply, not_found, serve

VERSION = os.environ.get("VERSION", "v1")

ITEMS = (
    {"sku": "tulle", "name": "Silk tulle", "colour": "#e9c6d4"},
    {"sku": "linen", "name": "Washed linen", "colour": "#cdbb9c"},
    {"sku": "velvet", "name": "Cotton velvet", "colour": "#5b2a4e"},
    {"sku": "denim", "name": "Selvedge denim", "colour": "#31507a"},
)
NEW_ITEMS = ({"sku": "organza", "name": "Crystal organza", "colour": "#a9d3d0"},)
STORIES = {
    "tulle": "A net so light that the wind wears it.",
    "linen": "Washed twice, ironed never.",
    "velvet": "Two cloths woven face to face, then cut apart.",
    "denim": "Woven on shuttle looms from 1957.",
    "organza": "Stiff as paper, clear as water.",
}


def catalog(version: str) -> dict[str, dict[str, str]]:
    if version == "v1":
        return {item["sku"]: item for item in ITEMS}
    return {item["sku"]: item | {"story": STORIES[item["sku"]]} for item in ITEMS + NEW_ITEMS}


CATALOG = catalog(VERSION)


def answer(url: SplitResult, headers: Mapping[str, str]) -> Reply:
    marked = {"x-version": VERSION}
    match url.path.strip("/").split("/"):
        case ["items"]:
            return json_reply({"version": VERSION, "items": list(CATALOG.values())}, headers=marked)
        case ["items", sku] if sku in CATALOG:
            return json_reply({"version": VERSION, "item": CATALOG[sku]}, headers=marked)
    return not_found(url.path)


if __name__ == "__main__":
    serve(answer)
