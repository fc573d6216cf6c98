"""KServe's own clients, REST and gRPC, as they are published."""

import asyncio
import logging

import grpc
import httpx
import numpy as np
from cases import A, B, VALUES, case, done, must_equal, raises_async, scene
from kserve import InferenceRESTClient, RESTConfig
from kserve.inference_client import InferenceGRPCClient
from kserve.protocol.infer_type import InferInput, InferRequest, RequestedOutput

logging.disable(logging.CRITICAL)
url = scene["url"]
headers = {"Authorization": f"Bearer {scene['key']}"}
metadata = (("authorization", f"Bearer {scene['key']}"),)


def rest():
    return InferenceRESTClient(RESTConfig(protocol="v2"))


def tensor(name, values, datatype, binary=True):
    given = InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def request(model, inputs, **more):
    return InferRequest(model_name=model, infer_inputs=inputs, **more)


def pair(a=A, b=B, binary=True):
    return [tensor("INPUT0", a, "INT32", binary), tensor("INPUT1", b, "INT32", binary)]


def must_add(reply, a=A, b=B):
    must_equal(reply.get_output_by_name("OUTPUT0").as_numpy(), a + b)
    must_equal(reply.get_output_by_name("OUTPUT1").as_numpy(), a - b)


@case("REST: the server is live and ready, a model is ready and another is not")
async def _():
    client = rest()
    must_equal(await client.is_server_live(url), True)
    must_equal(await client.is_server_ready(url), True)
    must_equal(await client.is_model_ready(url, "simple", headers=headers), True)
    must_equal(await client.is_model_ready(url, "nowhere", headers=headers), False)


for binary in (True, False):

    @case(f"REST: infer with {'binary' if binary else 'JSON'} tensors")
    async def _():
        outputs = [RequestedOutput(name, {"binary_data": binary}) for name in ("OUTPUT0", "OUTPUT1")]
        asked = request("simple", pair(binary=binary), request_id="call 7", request_outputs=outputs)
        reply = await rest().infer(url, asked, model_name="simple", headers=dict(headers))
        must_add(reply)
        # The version that comes back is not read by this client.
        must_equal([reply.id, reply.model_name], ["call 7", "simple"])


@case("REST: infer with a plain dictionary, and an id of ours where there is none")
async def _():
    data = {
        "inputs": [
            {"name": name, "shape": [1, 16], "datatype": "INT32", "data": values.tolist()}
            for name, values in (("INPUT0", A), ("INPUT1", B))
        ]
    }
    reply = await rest().infer(url, data, model_name="simple", headers=headers)
    must_add(reply)
    assert isinstance(reply.id, str) and reply.id


for datatype, values in VALUES.items():

    @case(f"REST: {datatype}: its edges survive in binary")
    async def _():
        asked = request(f"identity-{datatype.lower()}", [tensor("INPUT0", values, datatype)])
        asked.parameters = {"binary_data_output": True}
        reply = await rest().infer(url, asked, model_name=asked.model_name, headers=dict(headers))
        found = reply.outputs[0].as_numpy()
        if datatype == "BYTES":
            found = np.array([[each.encode() for each in found[0]]], dtype=np.object_)
        must_equal(found, values)


@case("REST: an error is raised with its status and what the server says")
async def _():
    for model, inputs, status, part in (
        ("nowhere", pair(), 404, "nowhere"),
        ("simple", pair()[:1], 400, "INPUT1"),
    ):
        error = await raises_async(
            httpx.HTTPStatusError,
            rest().infer(url, request(model, inputs), model_name=model, headers=dict(headers)),
            part,
        )
        must_equal(error.response.status_code, status)
    error = await raises_async(
        httpx.HTTPStatusError,
        rest().infer(url, request("simple", pair()), model_name="simple"),
        "Bearer",
    )
    must_equal(error.response.status_code, 401)


@case("REST: many at once, each gets its own rows")
async def _():
    client = rest()

    async def one(i):
        asked = request("simple", pair(A + i))
        must_add(
            await client.infer(url, asked, model_name="simple", headers=dict(headers)), A + i
        )

    await asyncio.gather(*(one(i) for i in range(100)))


def grpc_client():
    return InferenceGRPCClient(scene["grpc"])


@case("gRPC: the server is live and ready, a model is ready and another is not")
async def _():
    async with grpc_client() as client:
        must_equal(await client.is_server_live(), True)
        must_equal(await client.is_server_ready(), True)
        must_equal(await client.is_model_ready("simple", headers=metadata), True)
        must_equal(await client.is_model_ready("nowhere", headers=metadata), False)


@case("gRPC: infer with raw contents")
async def _():
    async with grpc_client() as client:
        asked = request("simple", pair(), request_id="call 7")
        reply = await client.infer(asked, headers=metadata)
        must_add(reply)
        must_equal(
            [reply.id, reply.model_name, reply.model_version], ["call 7", "simple", "1"]
        )


@case("gRPC: infer with typed contents")
async def _():
    async with grpc_client() as client:
        must_add(await client.infer(request("simple", pair(binary=False)), headers=metadata))


for datatype, values in VALUES.items():

    @case(f"gRPC: {datatype}: its edges survive")
    async def _():
        async with grpc_client() as client:
            asked = request(
                f"identity-{datatype.lower()}", [tensor("INPUT0", values, datatype)]
            )
            reply = await client.infer(asked, headers=metadata)
            must_equal(reply.outputs[0].as_numpy(), values)


@case("gRPC: an error is raised with its code and what the server says")
async def _():
    async with grpc_client() as client:
        for model, inputs, code, part in (
            ("nowhere", pair(), grpc.StatusCode.NOT_FOUND, "nowhere"),
            ("simple", pair()[:1], grpc.StatusCode.INVALID_ARGUMENT, "INPUT1"),
        ):
            error = await raises_async(
                grpc.RpcError, client.infer(request(model, inputs), headers=metadata), part
            )
            must_equal(error.code(), code)
        error = await raises_async(
            grpc.RpcError, client.infer(request("simple", pair())), "Bearer"
        )
        must_equal(error.code(), grpc.StatusCode.UNAUTHENTICATED)


@case("gRPC: many at once, each gets its own rows")
async def _():
    async with grpc_client() as client:

        async def one(i):
            must_add(
                await client.infer(request("simple", pair(A + i)), headers=metadata), A + i
            )

        await asyncio.gather(*(one(i) for i in range(100)))


done()
