"""The shop's front end: asks the other applications and shows one page, or the same as JSON.

It calls each by name over plain HTTP, gRPC or TCP. Whatever part does not answer is missing from the page and named
there; only without the catalog is there no page.
"""

import json
import os
import socket
import urllib.request
from collections.abc import Callable, Mapping
from html import escape
from http.client import HTTPException
from pathlib import Path
from string import Template
from typing import TypeVar
from urllib.parse import SplitResult, parse_qs

import grpc
from serving import Reply, json_reply, not_found, serve

CATALOG = os.environ.get("CATALOG", "http://catalog:8080")
REVIEWS = os.environ.get("REVIEWS", "http://reviews:8080")
PRICING = os.environ.get("PRICING", "pricing:8080")
STOCK = os.environ.get("STOCK", "stock:9000")
TIMEOUT = 3.0

# What a caller sends along so that routes by header and traces hold for the whole call.
FORWARDED = ("x-beta", "x-request-id", "traceparent", "tracestate")

PAGE = Template(Path(__file__).with_name("page.html").read_text())
CARD = Template(Path(__file__).with_name("card.html").read_text())

ask_prices = grpc.insecure_channel(PRICING).unary_unary(
    "/shop.Pricing/Prices",
    request_serializer=lambda request: json.dumps(request).encode(),
    response_deserializer=json.loads,
)

T = TypeVar("T")


def fetch(url: str, headers: Mapping[str, str]) -> dict:
    """The JSON at `url`. Raises OSError, HTTPException, or ValueError where it is no JSON."""
    request = urllib.request.Request(url, headers=dict(headers))
    with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
        return json.load(reply)


def fetch_prices(skus: list[str]) -> dict[str, float]:
    return ask_prices({"skus": skus}, timeout=TIMEOUT)["prices"]


def fetch_stock(skus: list[str]) -> dict[str, int]:
    host, _, port = STOCK.rpartition(":")
    with socket.create_connection((host, int(port)), TIMEOUT) as connection, connection.makefile("rw") as lines:
        lines.writelines(f"GET {sku}\n" for sku in skus)
        lines.flush()
        return {sku: int(lines.readline()) for sku in skus}


def attempt(name: str, call: Callable[[], T], otherwise: T, errors: dict[str, str]) -> T:
    """What `call` gives; where it fails, `otherwise`, and why in `errors`."""
    try:
        return call()
    except grpc.RpcError as error:
        errors[name] = f"{error.code().name}: {error.details()}"
    except (OSError, ValueError, HTTPException) as error:
        errors[name] = str(error)
    return otherwise


def collect(headers: Mapping[str, str]) -> dict:
    """All that the page shows. Raises what `fetch` raises where the catalog does not answer."""
    catalog = fetch(f"{CATALOG}/items", headers)
    skus = [item["sku"] for item in catalog["items"]]
    errors: dict[str, str] = {}
    prices = attempt("pricing", lambda: fetch_prices(skus), {}, errors)
    stock = attempt("stock", lambda: fetch_stock(skus), {}, errors)
    reviews = attempt("reviews", lambda: fetch(f"{REVIEWS}/reviews", headers)["reviews"], {}, errors)
    items = [
        item | {"price": prices.get(sku), "stock": stock.get(sku), "review": reviews.get(sku)}
        for sku, item in zip(skus, catalog["items"], strict=True)
    ]
    return {"version": catalog["version"], "items": items, "errors": errors}


def card(item: dict) -> str:
    review = item["review"]
    stock = item["stock"]
    return CARD.substitute(
        name=escape(item["name"]),
        colour=escape(item["colour"]),
        story=escape(item.get("story", "")),
        price="price unknown" if item["price"] is None else f"€ {item['price']:.2f} a metre",
        stock="stock unknown" if stock is None else f"{stock} m in stock" if stock else "sold out",
        level="unknown" if stock is None else "out" if stock == 0 else "low" if stock < 10 else "good",
        stars="★" * review["stars"] + "☆" * (5 - review["stars"]) if review else "",
        review=f"“{escape(review['text'])}” {escape(review['by'])}" if review else "no reviews",
    )


def page(shop: dict, beta: bool) -> bytes:
    problems = "".join(f"<li><b>{escape(name)}</b> {escape(why)}</li>" for name, why in shop["errors"].items())
    return PAGE.substitute(
        version=escape(shop["version"]),
        cards="".join(card(item) for item in shop["items"]),
        problems=f'<ul class="problems">{problems}</ul>' if problems else "",
        switch='<a href="/">back to everybody&rsquo;s catalog</a>' if beta else '<a href="/?beta=1">try the beta</a>',
    ).encode()


def answer(url: SplitResult, headers: Mapping[str, str]) -> Reply:
    if url.path not in ("/", "/api/items"):
        return not_found(url.path)
    forwarded = {name: headers[name] for name in FORWARDED if name in headers}
    if parse_qs(url.query).get("beta") == ["1"]:
        forwarded["x-beta"] = "1"
    try:
        shop = collect(forwarded)
    except (OSError, ValueError, HTTPException) as error:
        return json_reply({"error": f"the catalog does not answer: {error}"}, status=502)
    marked = {"x-version": shop["version"]}
    if url.path == "/api/items" or headers.get("accept") == "application/json":
        return json_reply(shop, headers=marked)
    return Reply(200, page(shop, "x-beta" in forwarded), "text/html; charset=utf-8", marked)


if __name__ == "__main__":
    serve(answer)
