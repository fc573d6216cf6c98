"""NVIDIA's tritonclient over HTTP, as it is published."""

import json
import time
import urllib.request

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from cases import A, B, NOT_FINITE, VALUES, case, done, must_equal, raises, raises_async, scene
from tritonclient.utils import InferenceServerException

url = scene["url"].removeprefix("http://")
auth = {"Authorization": f"Bearer {scene['key']}"}
client = triton.InferenceServerClient(url, concurrency=16)


def tensor(name, values, datatype, binary=True):
    given = triton.InferInput(name, values.shape, datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def pair(binary=True, a=A, b=B):
    return [tensor("INPUT0", a, "INT32", binary), tensor("INPUT1", b, "INT32", binary)]


def wanted(*names, binary=True, **more):
    return [triton.InferRequestedOutput(name, binary_data=binary, **more) for name in names]


def infer(model, inputs, **more):
    return client.infer(model, inputs, headers=dict(auth), **more)


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
    found = client.get_server_metadata()
    must_equal(sorted(found), ["extensions", "name", "version"])
    for each in ("binary_tensor_data", "classification", "model_repository", "statistics"):
        assert each in found["extensions"], f"{each} is not in {found['extensions']}"


@case("metadata: of a model, by name and by version")
def _():
    for version in ("", "1"):
        found = client.get_model_metadata("simple", version, headers=auth)
        must_equal(found["inputs"][0], {"name": "INPUT0", "datatype": "INT32", "shape": [-1, 16]})
        must_equal([each["name"] for each in found["outputs"]], ["OUTPUT0", "OUTPUT1"])
        must_equal([found["name"], found["versions"]], ["simple", ["1"]])


@case("query parameters: they change nothing")
def _():
    query = {"trace": "on", "list": [1, 2], "with space": "a&b"}
    assert client.is_server_live(query_params=query)
    assert client.is_model_ready("simple", headers=auth, query_params=query)
    client.get_model_metadata("simple", headers=auth, query_params=query)
    must_add(infer("simple", pair(), query_params=query))


for inputs_binary in (True, False):
    for outputs_binary in (True, False):
        form = f"{'binary' if inputs_binary else 'JSON'} in, {'binary' if outputs_binary else 'JSON'} out"

        @case(f"infer: {form}")
        def _():
            outputs = wanted("OUTPUT0", "OUTPUT1", binary=outputs_binary)
            must_add(infer("simple", pair(inputs_binary), outputs=outputs))


@case("infer: one input as JSON and one in binary, whichever comes first")
def _():
    first, second = [tensor("INPUT0", A, "INT32", False), tensor("INPUT1", B, "INT32", True)]
    must_add(infer("simple", [first, second]))
    must_add(infer("simple", [second, first]))


@case("infer: one output as JSON and one in binary")
def _():
    outputs = wanted("OUTPUT0", binary=False) + wanted("OUTPUT1", binary=True)
    must_add(infer("simple", pair(), outputs=outputs))


@case("infer: without a list of outputs all come")
def _():
    must_add(infer("simple", pair()))


@case("infer: only the output that is asked for comes")
def _():
    result = infer("simple", pair(), outputs=wanted("OUTPUT1"))
    must_equal(result.as_numpy("OUTPUT1"), A - B)
    must_equal(result.as_numpy("OUTPUT0"), None)


@case("infer: name, version and id come back")
def _():
    found = infer("simple", pair(), model_version="1", request_id="call € 7").get_response()
    must_equal(
        [found["model_name"], found["model_version"], found["id"]], ["simple", "1", "call € 7"]
    )


@case("infer: objects that are used again give each time what was set last")
def _():
    inputs = pair()
    outputs = wanted("OUTPUT0", "OUTPUT1")
    for i in range(5):
        a = A + i
        inputs[0].set_data_from_numpy(a)
        must_add(infer("simple", inputs, outputs=outputs), a)


@case("infer: many rows, and none")
def _():
    for rows in (1000, 0):
        a = np.arange(rows * 16, dtype=np.int32).reshape(rows, 16)
        b = np.ones((rows, 16), dtype=np.int32)
        must_add(infer("simple", pair(True, a, b)), a, b)


@case("infer: a body built apart, and a reply read apart")
def _():
    body, json_size = triton.InferenceServerClient.generate_request_body(pair())
    headers = {**auth, "Inference-Header-Content-Length": str(json_size)}
    address = f"{scene['url']}/v2/models/simple/infer"
    with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as reply:
        length = int(reply.headers["Inference-Header-Content-Length"])
        found = triton.InferenceServerClient.parse_response_body(reply.read(), header_length=length)
    must_add(found)


@case("infer: parameters of the caller's own are let be")
def _():
    must_add(infer("simple", pair(), parameters={"tag": "x", "n": 1, "yes": True}))


for datatype, values in VALUES.items():

    @case(f"{datatype}: its edges survive in binary")
    def _():
        result = infer(f"identity-{datatype.lower()}", [tensor("INPUT0", values, datatype)])
        must_equal(result.as_numpy("OUTPUT0"), values)

    if datatype == "FP16":
        continue

    @case(f"{datatype}: its edges survive as JSON")
    def _():
        given = [tensor("INPUT0", values, datatype, False)]
        result = infer(
            f"identity-{datatype.lower()}", given, outputs=wanted("OUTPUT0", binary=False)
        )
        found = result.as_numpy("OUTPUT0")
        if datatype == "BYTES":
            found = np.array([[each.encode() for each in found[0]]], dtype=np.object_)
        must_equal(found, values)


for datatype, values in NOT_FINITE.items():

    @case(f"{datatype}: NaN and infinities survive in binary")
    def _():
        result = infer(f"identity-{datatype.lower()}", [tensor("INPUT0", values, datatype)])
        must_equal(result.as_numpy("OUTPUT0"), values)


@case("FP16: as JSON it is refused, with the way out")
def _():
    given = [tensor("INPUT0", VALUES["FP16"], "FP16")]
    outputs = wanted("OUTPUT0", binary=False)
    raises(
        InferenceServerException,
        lambda: infer("identity-fp16", given, outputs=outputs),
        "FP16",
        "binary_data",
    )


@case("BYTES: text as Python has it is sent as UTF-8")
def _():
    given = tensor("INPUT0", np.array([["grün", "x" * 70000]], dtype=np.object_), "BYTES")
    found = infer("identity-bytes", [given]).as_numpy("OUTPUT0")
    must_equal(found.tolist(), [["grün".encode(), b"x" * 70000]])


@case("BYTES: what is no text is refused by the name of its input")
def _():
    given = tensor("INPUT0", np.array([[b"\xff\xfe"]], dtype=np.object_), "BYTES")
    raises(InferenceServerException, lambda: infer("identity-bytes", [given]), "INPUT0", "UTF-8")


ALGORITHMS = (None, "gzip", "deflate")
for request in ALGORITHMS:
    for response in ALGORITHMS:
        if request is None and response is None:
            continue

        @case(f"compression: request {request or 'plain'}, reply {response or 'plain'}")
        def _():
            for binary in (True, False):
                rows = np.tile(A, (500, 1))
                result = infer(
                    "simple",
                    pair(binary, rows, rows),
                    outputs=wanted("OUTPUT0", binary=True) + wanted("OUTPUT1", binary=False),
                    request_compression_algorithm=request,
                    response_compression_algorithm=response,
                )
                must_add(result, rows, rows)


@case("compression: a reply that is asked for as gzip or deflate comes as that")
def _():
    for algorithm in ("gzip", "deflate"):
        body, json_size = triton.InferenceServerClient.generate_request_body(pair())
        headers = {
            **auth,
            "Inference-Header-Content-Length": str(json_size),
            "Accept-Encoding": algorithm,
        }
        address = f"{scene['url']}/v2/models/simple/infer"
        with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as reply:
            must_equal(reply.headers["Content-Encoding"], algorithm)
            found = triton.InferenceServerClient.parse_response_body(
                reply.read(),
                header_length=int(reply.headers["Inference-Header-Content-Length"]),
                content_encoding=algorithm,
            )
        must_add(found)


@case("compression: what is not what it says it is is refused")
def _():
    headers = {**auth, "Content-Encoding": "gzip"}
    raises(
        InferenceServerException,
        lambda: client.infer("simple", pair(False), headers=headers),
        "gzip",
    )


@case("compression: another encoding is refused, with those that are taken")
def _():
    headers = {**auth, "Content-Encoding": "br"}
    error = raises(
        InferenceServerException,
        lambda: client.infer("simple", pair(False), headers=headers),
        "br",
        "gzip",
    )
    must_equal(error.status(), "415")


@case("async_infer: many at once on one client, each gets its own rows")
def _():
    calls = []
    for i in range(200):
        rows = 1 + i % 3
        a = np.arange(rows * 16, dtype=np.int32).reshape(rows, 16) + i * 1000
        b = np.full((rows, 16), i, dtype=np.int32)
        call = client.async_infer("simple", pair(True, a, b), headers=dict(auth), request_id=str(i))
        calls.append((call, a, b, str(i)))
    for call, a, b, name in calls:
        result = call.get_result()
        must_equal(result.get_response()["id"], name)
        must_add(result, a, b)


@case("aio: health, metadata and many inferences at once")
async def _():
    import asyncio

    async with triton_aio.InferenceServerClient(url) as aio:
        assert await aio.is_server_live() and await aio.is_server_ready()
        assert await aio.is_model_ready("simple", headers=auth)
        found = await aio.get_model_metadata("simple", headers=auth)
        must_equal(found["name"], "simple")

        async def one(i):
            a = A + i
            must_add(await aio.infer("simple", pair(True, a), headers=dict(auth)), a)

        await asyncio.gather(*(one(i) for i in range(100)))


@case("aio: compressed both ways")
async def _():
    async with triton_aio.InferenceServerClient(url) as aio:
        for algorithm in ("gzip", "deflate"):
            result = await aio.infer(
                "simple",
                pair(),
                headers=dict(auth),
                request_compression_algorithm=algorithm,
                response_compression_algorithm=algorithm,
            )
            must_add(result)


@case("aio: an error is raised with what the server says")
async def _():
    async with triton_aio.InferenceServerClient(url) as aio:
        await raises_async(
            InferenceServerException, aio.infer("nowhere", pair(), headers=dict(auth)), "nowhere"
        )


@case("schedule: priority and a timeout that suffices change nothing in the answer")
def _():
    must_add(infer("simple", pair(), priority=1, timeout=20_000_000))
    must_add(infer("simple", pair(), priority=2))


@case("sequence: its parameters are refused by name")
def _():
    raises(
        InferenceServerException,
        lambda: infer("simple", pair(), sequence_id=7, sequence_start=True),
        "sequence_",
    )


@case("config: how many rows run at once, and dimensions without them")
def _():
    found = client.get_model_config("simple", headers=auth)
    assert found["max_batch_size"] > 1
    must_equal(found["input"][0], {"name": "INPUT0", "data_type": "TYPE_INT32", "dims": [16]})


@case("repository: the index names every model, its versions and their state")
def _():
    found = client.get_model_repository_index(headers=auth)
    entry = next(each for each in found if each["name"] == "simple")
    must_equal(entry, {"name": "simple", "version": "1", "state": "READY", "reason": ""})


@case("repository: a model is loaded and unloaded, and answers after either")
def _():
    for work in (client.load_model, client.unload_model, client.unload_model, client.load_model):
        work("simple", headers=auth)
        must_add(infer("simple", pair()))
    client.unload_model("simple", headers=auth, unload_dependents=True)
    assert client.is_model_ready("simple", headers=auth)


@case("repository: what a load cannot honour is refused, and an unknown model named")
def _():
    for more in ({"config": "{}"}, {"config": "{}", "files": {"file:1/model.onnx": b"x"}}):
        error = raises(
            InferenceServerException, lambda: client.load_model("simple", headers=auth, **more)
        )
        must_equal(error.status(), "501")
    for work in (client.load_model, client.unload_model):
        error = raises(InferenceServerException, lambda: work("nowhere", headers=auth), "nowhere")
        must_equal(error.status(), "404")


@case("statistics: rows, runs, successes and failures of a version are counted")
def _():
    def counts():
        found = client.get_inference_statistics("simple", "1", headers=auth)["model_stats"]
        must_equal([(each["name"], each["version"]) for each in found], [("simple", "1")])
        kinds = found[0]["inference_stats"]
        return [
            found[0]["inference_count"],
            found[0]["execution_count"],
            kinds["success"]["count"],
            kinds["fail"]["count"],
        ]

    before = counts()
    infer("simple", pair(True, np.tile(A, (3, 1)), np.tile(B, (3, 1))))
    raises(InferenceServerException, lambda: infer("simple", pair()[:1]))
    must_equal([b - a for a, b in zip(before, counts())], [3, 1, 1, 1])
    names = [each["name"] for each in client.get_inference_statistics(headers=auth)["model_stats"]]
    assert "simple" in names, names


for binary in (True, False):

    @case(f"classification: the largest values as score and index, in {'binary' if binary else 'JSON'}")
    def _():
        outputs = wanted("OUTPUT0", binary=binary, class_count=3)
        a = np.vstack([A, A[:, ::-1]])
        found = infer("simple", pair(True, a, np.zeros_like(a)), outputs=outputs)
        values = found.as_numpy("OUTPUT0").tolist()
        texts = [[each.decode() if binary else each for each in row] for row in values]
        must_equal(texts, [["15:15", "14:14", "13:13"], ["15:0", "14:1", "13:2"]])


ERRORS = {
    "an unknown model": (lambda: infer("nowhere", pair()), "404", "nowhere"),
    "an unknown version": (lambda: infer("simple", pair(), model_version="9"), "404", "9"),
    "an unknown input": (
        lambda: infer("simple", [*pair(), tensor("INPUT9", A, "INT32")]),
        "400",
        "INPUT9",
    ),
    "a missing input": (lambda: infer("simple", pair()[:1]), "400", "INPUT1"),
    "an input twice": (lambda: infer("simple", [*pair(), pair()[0]]), "400", "INPUT0"),
    "an unknown output": (
        lambda: infer("simple", pair(), outputs=wanted("OUTPUT9")),
        "400",
        "OUTPUT9",
    ),
    "an output twice": (
        lambda: infer("simple", pair(), outputs=wanted("OUTPUT0", "OUTPUT0")),
        "400",
        "OUTPUT0",
    ),
    "a wrong shape": (
        lambda: infer("simple", pair(True, A[:, :15], B[:, :15])),
        "400",
        "[1,15]",
    ),
    "rows that differ": (lambda: infer("simple", pair(True, np.tile(A, (2, 1)))), "400", "rows"),
    "a wrong datatype": (
        lambda: infer("simple", [tensor("INPUT0", A.astype(np.float32), "FP32"), pair()[1]]),
        "400",
        "FP32",
    ),
    "no key": (lambda: client.infer("simple", pair()), "401", "Authorization: Bearer"),
    "a wrong key": (
        lambda: client.infer("simple", pair(), headers={"Authorization": "Bearer gly_live_x"}),
        "401",
        "API key",
    ),
    "a key without the scope": (
        lambda: client.infer(
            "simple", pair(), headers={"Authorization": f"Bearer {scene['narrow_key']}"}
        ),
        "403",
        "infer",
    ),
}
for name, (work, status, part) in ERRORS.items():

    @case(f"errors: {name}: status {status} and what was wrong")
    def _():
        error = raises(InferenceServerException, work, part)
        must_equal(error.status(), status)


@case("errors: a model that fails on a row says so, and answers the next")
def _():
    bad = tensor("x", np.array([[-1, 1, 1, 1]], dtype=np.float32), "FP32")
    good = tensor("x", np.array([[1, 1, 1, 1]], dtype=np.float32), "FP32")
    error = raises(InferenceServerException, lambda: infer("fragile", [bad]))
    must_equal(error.status(), "500")
    must_equal(infer("fragile", [good]).as_numpy("y"), np.array([[1, 1, 1, 1]], dtype=np.float32))


done()
