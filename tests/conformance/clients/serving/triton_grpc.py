"""NVIDIA's tritonclient over gRPC, as it is published."""

import queue
import threading

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from cases import A, B, NOT_FINITE, VALUES, case, done, must_equal, raises, raises_async, scene
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException

url = scene["grpc"]
auth = {"authorization": f"Bearer {scene['key']}"}
client = triton.InferenceServerClient(url)
stub = service_pb2_grpc.GRPCInferenceServiceStub(grpc.insecure_channel(url))


def tensor(name, values, datatype):
    given = triton.InferInput(name, list(values.shape), datatype)
    given.set_data_from_numpy(values)
    return given


def pair(a=A, b=B):
    return [tensor("INPUT0", a, "INT32"), tensor("INPUT1", b, "INT32")]


def wanted(*names):
    return [triton.InferRequestedOutput(name) for name in names]


def infer(model, inputs, **more):
    return client.infer(model, inputs, headers=auth, **more)


def must_add(result, a=A, b=B):
    must_equal(result.as_numpy("OUTPUT0"), a + b)
    must_equal(result.as_numpy("OUTPUT1"), a - b)


@case("health: the server is live and ready, without a key")
def _():
    assert client.is_server_live() and client.is_server_ready()


@case("health: a model is ready, and one that there is not is not")
def _():
    assert client.is_model_ready("simple", headers=auth)
    assert client.is_model_ready("simple", "1", headers=auth)
    assert not client.is_model_ready("nowhere", headers=auth)
    assert not client.is_model_ready("simple", "9", headers=auth)


@case("metadata: of the server, with the extensions that it speaks")
def _():
    found = client.get_server_metadata(as_json=True)
    must_equal(sorted(found), ["extensions", "name", "version"])
    assert "binary_tensor_data" in found["extensions"]


@case("metadata: of a model, by name and by version")
def _():
    for version in ("", "1"):
        found = client.get_model_metadata("simple", version, headers=auth)
        must_equal([found.name, list(found.versions)], ["simple", ["1"]])
        first = found.inputs[0]
        must_equal([first.name, first.datatype, list(first.shape)], ["INPUT0", "INT32", [-1, 16]])
        must_equal([each.name for each in found.outputs], ["OUTPUT0", "OUTPUT1"])


@case("config: datatypes, dimensions without the rows, and how many of those run at once")
def _():
    found = client.get_model_config("simple", headers=auth, as_json=True)["config"]
    assert found["max_batch_size"] > 1
    must_equal(found["input"][0], {"name": "INPUT0", "data_type": "TYPE_INT32", "dims": ["16"]})


@case("infer: all outputs, or only the one that is asked for")
def _():
    must_add(infer("simple", pair()))
    must_add(infer("simple", pair(), outputs=wanted("OUTPUT1", "OUTPUT0")))
    result = infer("simple", pair(), outputs=wanted("OUTPUT1"))
    must_equal(result.as_numpy("OUTPUT1"), A - B)
    must_equal(result.as_numpy("OUTPUT0"), None)


@case("infer: name, version and id come back")
def _():
    found = infer("simple", pair(), model_version="1", request_id="call € 7").get_response()
    must_equal([found.model_name, found.model_version, found.id], ["simple", "1", "call € 7"])


@case("infer: objects that are used again give each time what was set last")
def _():
    inputs = pair()
    for i in range(5):
        a = A + i
        inputs[0].set_data_from_numpy(a)
        must_add(infer("simple", inputs), a)


@case("infer: many rows, and none")
def _():
    for rows in (1000, 0):
        a = np.arange(rows * 16, dtype=np.int32).reshape(rows, 16)
        b = np.ones((rows, 16), dtype=np.int32)
        must_add(infer("simple", pair(a, b)), a, b)


@case("infer: a tensor of 16 MiB there and back")
def _():
    values = np.random.default_rng(7).random((4, 2**20), dtype=np.float32)
    found = infer("identity-fp32", [tensor("INPUT0", values, "FP32")]).as_numpy("OUTPUT0")
    must_equal(found, values)


@case("infer: messages that gRPC packs as gzip or deflate")
def _():
    for algorithm in ("gzip", "deflate"):
        must_add(infer("simple", pair(), compression_algorithm=algorithm))


@case("infer: parameters of the caller's own are let be")
def _():
    must_add(infer("simple", pair(), parameters={"tag": "x", "n": 1, "yes": True}))


for datatype, values in VALUES.items():

    @case(f"{datatype}: its edges survive")
    def _():
        result = infer(f"identity-{datatype.lower()}", [tensor("INPUT0", values, datatype)])
        must_equal(result.as_numpy("OUTPUT0"), values)


for datatype, values in NOT_FINITE.items():

    @case(f"{datatype}: NaN and infinities survive")
    def _():
        result = infer(f"identity-{datatype.lower()}", [tensor("INPUT0", values, datatype)])
        must_equal(result.as_numpy("OUTPUT0"), values)


FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def typed(datatype, values, field=None):
    """A request with typed contents, as the generated messages have them."""
    request = pb.ModelInferRequest(model_name=f"identity-{datatype.lower()}")
    given = request.inputs.add(name="INPUT0", datatype=datatype, shape=list(values.shape))
    getattr(given.contents, field or FIELDS[datatype]).extend(values.flatten().tolist())
    return request


metadata = tuple(auth.items())
for datatype in FIELDS:

    @case(f"{datatype}: as typed contents it is taken, and answered raw")
    def _():
        values = VALUES[datatype]
        found = stub.ModelInfer(typed(datatype, values), metadata=metadata)
        must_equal(len(found.raw_output_contents), 1)
        must_equal(found.outputs[0].HasField("contents"), False)
        must_equal(triton.InferResult(found).as_numpy("OUTPUT0"), values)


def refused(request, code, *parts):
    error = raises(grpc.RpcError, lambda: stub.ModelInfer(request, metadata=metadata))
    must_equal(error.code(), code)
    for part in parts:
        assert part in error.details(), error.details()


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@case("typed contents: in another datatype's field, out of range or too few, they are refused by name")
def _():
    one = np.array([[1]], dtype=np.int64)
    refused(typed("FP32", one, "int_contents"), INVALID, "INPUT0", "fp32_contents")
    refused(typed("INT8", np.array([[300]])), INVALID, "INPUT0", "300", "INT8")
    request = typed("INT32", one)
    request.inputs[0].shape[0] = 2
    refused(request, INVALID, "INPUT0", "[2,1]", "1 values")


@case("raw contents: too few entries, or beside typed contents, are refused by what is wrong")
def _():
    request = typed("INT32", np.array([[1]]))
    request.raw_input_contents.append(b"1234")
    refused(request, INVALID, "INPUT0", "raw_input_contents")
    request = typed("INT32", np.array([[1]]))
    request.inputs[0].ClearField("contents")
    request.raw_input_contents.extend([b"1234", b"1234"])
    refused(request, INVALID, "2 entries", "1 inputs")


@case("BYTES: what is no text is refused by the name of its input")
def _():
    given = tensor("INPUT0", np.array([[b"\xff\xfe"]], dtype=np.object_), "BYTES")
    raises(InferenceServerException, lambda: infer("identity-bytes", [given]), "INPUT0", "UTF-8")


@case("async_infer: many at once on one client, each gets its own rows")
def _():
    answers = queue.Queue()
    wants = {}
    for i in range(200):
        rows = 1 + i % 3
        a = np.arange(rows * 16, dtype=np.int32).reshape(rows, 16) + i * 1000
        b = np.full((rows, 16), i, dtype=np.int32)
        wants[str(i)] = (a, b)
        client.async_infer(
            "simple",
            pair(a, b),
            callback=lambda result, error: answers.put((result, error)),
            headers=auth,
            request_id=str(i),
        )
    for _ in range(200):
        result, error = answers.get(timeout=30)
        assert error is None, error
        must_add(result, *wants.pop(result.get_response().id))


@case("async_infer: one that is cancelled says so, and the next is answered")
def _():
    answers = queue.Queue()
    x = tensor("x", np.ones((1, 4), dtype=np.float32), "FP32")
    call = client.async_infer(
        "slow", [x], callback=lambda result, error: answers.put(error), headers=auth
    )
    call.cancel()
    error = answers.get(timeout=30)
    assert error is not None and "CANCELLED" in str(error), error
    must_add(infer("simple", pair()))


@case("deadline: what cannot be done in time ends with DEADLINE_EXCEEDED")
def _():
    x = tensor("x", np.ones((1, 4), dtype=np.float32), "FP32")
    error = raises(
        InferenceServerException, lambda: infer("slow", [x], client_timeout=0.05), "Deadline"
    )
    must_equal(error.status(), "StatusCode.DEADLINE_EXCEEDED")


class Stream:
    """One stream and what came back over it."""

    def __init__(self, headers=auth):
        self.client = triton.InferenceServerClient(url)
        self.answers = queue.Queue()
        self.client.start_stream(
            callback=lambda result, error: self.answers.put((result, error)), headers=headers
        )

    def ask(self, *args, **more):
        self.client.async_stream_infer(*args, **more)

    def next(self):
        return self.answers.get(timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.stop_stream()
        self.client.close()


@case("stream: one reply for each request, in their order")
def _():
    with Stream() as stream:
        for i in range(300):
            stream.ask("simple", pair(A + i), request_id=str(i))
        for i in range(300):
            result, error = stream.next()
            assert error is None, error
            must_equal(result.get_response().id, str(i))
            must_add(result, A + i)


@case("stream: a request that fails is told, and those after it are answered")
def _():
    with Stream() as stream:
        stream.ask("nowhere", pair())
        stream.ask("simple", pair())
        _, error = stream.next()
        assert "nowhere" in str(error), error
        result, error = stream.next()
        assert error is None, error
        must_add(result)


@case("stream: the final reply is marked where that is asked for")
def _():
    with Stream() as stream:
        stream.ask("simple", pair(), enable_empty_final_response=True)
        result, _ = stream.next()
        must_equal(result.get_response().parameters["triton_final_response"].bool_param, True)


@case("stream: a wrong key ends it")
def _():
    with Stream({"authorization": "Bearer gly_live_x"}) as stream:
        try:
            stream.ask("simple", pair())
        except InferenceServerException:
            # It may have ended before this was sent; why is told by the callback.
            pass
        _, error = stream.next()
        assert "UNAUTHENTICATED" in str(error) or "API key" in str(error), error


@case("aio: health, metadata and many inferences at once")
async def _():
    import asyncio

    async with triton_aio.InferenceServerClient(url) as aio:
        assert await aio.is_server_live() and await aio.is_server_ready()
        assert await aio.is_model_ready("simple", headers=auth)
        found = await aio.get_model_metadata("simple", headers=auth)
        must_equal(found.name, "simple")

        async def one(i):
            a = A + i
            must_add(await aio.infer("simple", pair(a), headers=auth), a)

        await asyncio.gather(*(one(i) for i in range(100)))


@case("aio: a stream, and an error with what the server says")
async def _():
    async with triton_aio.InferenceServerClient(url) as aio:

        async def requests():
            for i in range(20):
                yield {"model_name": "simple", "inputs": pair(A + i), "request_id": str(i)}

        i = 0
        async for result, error in aio.stream_infer(requests(), headers=auth):
            assert error is None, error
            must_add(result, A + i)
            i += 1
        must_equal(i, 20)
        await raises_async(
            InferenceServerException, aio.infer("nowhere", pair(), headers=auth), "nowhere"
        )


@case("threads: one client in many of them, each gets its own rows")
def _():
    failures = []

    def work(n):
        try:
            for i in range(20):
                a = A + n * 1000 + i
                must_add(infer("simple", pair(a)), a)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    must_equal(failures, [])


@case("schedule: priority and a timeout that suffices change nothing in the answer")
def _():
    must_add(infer("simple", pair(), priority=1, timeout=20_000_000))


@case("sequence: its parameters are refused by name")
def _():
    raises(
        InferenceServerException,
        lambda: infer("simple", pair(), sequence_id=7, sequence_start=True),
        "sequence_",
    )


@case("repository: the index names every model, its versions and their state")
def _():
    found = client.get_model_repository_index(headers=auth)
    entry = next(each for each in found.models if each.name == "simple")
    must_equal([entry.version, entry.state, entry.reason], ["1", "READY", ""])


@case("repository: a model is loaded and unloaded, and answers after either")
def _():
    for work in (client.load_model, client.unload_model, client.unload_model, client.load_model):
        work("simple", headers=auth)
        must_add(infer("simple", pair()))


@case("repository: what a load cannot honour is refused, and an unknown model named")
def _():
    error = raises(
        InferenceServerException, lambda: client.load_model("simple", headers=auth, config="{}")
    )
    must_equal(error.status(), "StatusCode.UNIMPLEMENTED")
    error = raises(
        InferenceServerException, lambda: client.load_model("nowhere", headers=auth), "nowhere"
    )
    must_equal(error.status(), "StatusCode.NOT_FOUND")


@case("statistics: rows, runs, successes and failures of a version are counted")
def _():
    def counts():
        (found,) = client.get_inference_statistics("simple", "1", headers=auth).model_stats
        kinds = found.inference_stats
        return [
            found.inference_count,
            found.execution_count,
            kinds.success.count,
            kinds.fail.count,
        ]

    before = counts()
    infer("simple", pair(np.tile(A, (3, 1)), np.tile(B, (3, 1))))
    raises(InferenceServerException, lambda: infer("simple", pair()[:1]))
    must_equal([b - a for a, b in zip(before, counts())], [3, 1, 1, 1])


@case("classification: the largest values as score and index")
def _():
    outputs = [triton.InferRequestedOutput("OUTPUT0", class_count=3)]
    found = infer("simple", pair(A, np.zeros_like(B)), outputs=outputs)
    must_equal(found.as_numpy("OUTPUT0").tolist(), [[b"15:15", b"14:14", b"13:13"]])


def with_key(key):
    return lambda: client.infer("simple", pair(), headers={"authorization": f"Bearer {key}"})


ERRORS = {
    "an unknown model": (lambda: infer("nowhere", pair()), "NOT_FOUND", "nowhere"),
    "an unknown version": (lambda: infer("simple", pair(), model_version="9"), "NOT_FOUND", "9"),
    "an unknown input": (
        lambda: infer("simple", [*pair(), tensor("INPUT9", A, "INT32")]),
        "INVALID_ARGUMENT",
        "INPUT9",
    ),
    "a missing input": (lambda: infer("simple", pair()[:1]), "INVALID_ARGUMENT", "INPUT1"),
    "an unknown output": (
        lambda: infer("simple", pair(), outputs=wanted("OUTPUT9")),
        "INVALID_ARGUMENT",
        "OUTPUT9",
    ),
    "a wrong shape": (
        lambda: infer("simple", pair(A[:, :15], B[:, :15])),
        "INVALID_ARGUMENT",
        "[1,15]",
    ),
    "a wrong datatype": (
        lambda: infer("simple", [tensor("INPUT0", A.astype(np.float32), "FP32"), pair()[1]]),
        "INVALID_ARGUMENT",
        "FP32",
    ),
    "no key": (lambda: client.infer("simple", pair()), "UNAUTHENTICATED", "Bearer"),
    "a wrong key": (with_key("gly_live_x"), "UNAUTHENTICATED", "API key"),
    "a key without the scope": (with_key(scene["narrow_key"]), "PERMISSION_DENIED", "infer"),
    "a model that fails on its input": (
        lambda: infer(
            "fragile", [tensor("x", np.array([[-1, 1, 1, 1]], dtype=np.float32), "FP32")]
        ),
        "INTERNAL",
        "",
    ),
    "what only an operator may do": (
        lambda: client.get_trace_settings(headers=auth),
        "UNIMPLEMENTED",
        "",
    ),
}
for name, (work, status, part) in ERRORS.items():

    @case(f"errors: {name}: {status} and what was wrong")
    def _():
        error = raises(InferenceServerException, work, part)
        must_equal(error.status(), f"StatusCode.{status}")


done()
