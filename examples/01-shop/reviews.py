"""Says what customers think."""

from collections.abc import Mapping
from urllib.parse import SplitResult

from serving import Reply, json_reply, not_found, serve

REVIEWS = {
    "tulle": {"stars": 5, "text": "Veils, curtains, a mosquito net: it does it all.", "by": "Ada"},
    "linen": {"stars": 4, "text": "Creases beautifully.", "by": "Grace"},
    "velvet": {"stars": 5, "text": "My cat approves.", "by": "Edsger"},
    "denim": {"stars": 3, "text": "Needs a year of wear. Then, perfect.", "by": "Barbara"},
    "organza": {"stars": 4, "text": "Rustles like a secret.", "by": "Radia"},
}


def answer(url: SplitResult, headers: Mapping[str, str]) -> Reply:
    match url.path.strip("/").split("/"):
        case ["reviews"]:
            return json_reply({"reviews": REVIEWS})
        case ["reviews", sku] if sku in REVIEWS:
            return json_reply({"review": REVIEWS[sku]})
    return not_found(url.path)


if __name__ == "__main__":
    serve(answer)
