"""Says what things cost, over gRPC.

The messages are JSON, so that the example needs no generated code: `shop.Pricing/Prices` takes {"skus": [...]} and
gives {"prices": {sku: euros}}.
"""

import json
import signal
from concurrent import futures

import grpc
from serving import address, block_termination

PRICES = {"tulle": 18.5, "linen": 24.0, "velvet": 39.0, "denim": 31.5, "organza": 22.0}

# grpc.health.v1.HealthCheckResponse{status: SERVING}, serialised.
SERVING = b"\x08\x01"


def prices(request: dict[str, list[str]], context: grpc.ServicerContext) -> dict[str, dict[str, float]]:
    return {"prices": {sku: PRICES[sku] for sku in request.get("skus", []) if sku in PRICES}}


def handlers() -> tuple[grpc.GenericRpcHandler, ...]:
    ask = grpc.unary_unary_rpc_method_handler(
        prices, request_deserializer=json.loads, response_serializer=lambda reply: json.dumps(reply).encode()
    )
    check = grpc.unary_unary_rpc_method_handler(lambda request, context: SERVING)
    return (
        grpc.method_handlers_generic_handler("shop.Pricing", {"Prices": ask}),
        grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": check}),
    )


if __name__ == "__main__":
    signals = block_termination()
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), handlers=handlers())
    host, port = address(8080)
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    signal.sigwait(signals)
    server.stop(grace=5).wait()
