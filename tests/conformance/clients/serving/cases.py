"""Cases of a client: each prints one line of JSON, the last line is their number."""

import asyncio
import inspect
import json
import os
import traceback

import numpy as np

scene = json.loads(os.environ["SCENE"])
count = 0


def case(name):
    """A case that runs at once, by its name; of an async one, in a loop of its own."""

    def run(work):
        global count
        count += 1
        failure = None
        try:
            result = work()
            if inspect.isawaitable(result):
                asyncio.run(result)
        except Exception:
            failure = traceback.format_exc(limit=-3).strip()
        print(json.dumps({"case": name, "failure": failure}), flush=True)

    return run


def done():
    print(json.dumps({"cases": count}), flush=True)


def must_equal(found, wanted):
    if isinstance(wanted, np.ndarray):
        assert isinstance(found, np.ndarray), f"found {found!r}, wanted an array"
        assert found.dtype == wanted.dtype, f"found {found.dtype}, wanted {wanted.dtype}"
        same = found.shape == wanted.shape and (
            np.array_equal(found, wanted)
            if wanted.dtype == np.object_
            else found.tobytes() == wanted.tobytes()
        )
        assert same, f"found {found!r}, wanted {wanted!r}"
        return
    assert found == wanted, f"found {found!r}, wanted {wanted!r}"


def raises(kind, work, *parts):
    """What it says holds the parts; gives the error."""
    try:
        work()
    except kind as error:
        for part in parts:
            assert part in str(error), f"it says {error}"
        return error
    raise AssertionError(f"raised nothing, wanted {kind.__name__}")


async def raises_async(kind, work, *parts):
    try:
        await work
    except kind as error:
        for part in parts:
            assert part in str(error), f"it says {error}"
        return error
    raise AssertionError(f"raised nothing, wanted {kind.__name__}")


def bits(dtype, *values):
    return np.array([values], dtype=dtype)


# The edges of each datatype, in one row of a model that gives back what it takes.
VALUES = {
    "BOOL": bits(np.bool_, True, False, True),
    "UINT8": bits(np.uint8, 0, 1, 255),
    "UINT16": bits(np.uint16, 0, 1, 65535),
    "UINT32": bits(np.uint32, 0, 1, 2**32 - 1),
    "UINT64": bits(np.uint64, 0, 2**53 + 1, 2**64 - 1),
    "INT8": bits(np.int8, -128, 0, 127),
    "INT16": bits(np.int16, -(2**15), 0, 2**15 - 1),
    "INT32": bits(np.int32, -(2**31), 0, 2**31 - 1),
    "INT64": bits(np.int64, -(2**63), 2**53 + 1, 2**63 - 1),
    "FP16": bits(np.float16, -1.5, 6e-08, 65504),
    "FP32": bits(np.float32, -1.5, 1e-45, 3.4028235e38),
    "FP64": bits(np.float64, -1.5, 5e-324, 1.7976931348623157e308),
    "BYTES": bits(np.object_, b"", "naïve €".encode(), b'"quoted"\n'),
}
# What JSON cannot say, and bytes can.
NOT_FINITE = {
    "FP32": bits(np.float32, np.nan, np.inf, -np.inf),
    "FP64": bits(np.float64, np.nan, np.inf, -np.inf),
}
A = np.arange(16, dtype=np.int32).reshape(1, 16)
B = np.full((1, 16), 3, dtype=np.int32)
