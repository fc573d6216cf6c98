"""One ONNX file, run as every server of the comparison runs it: on the CPU, with one thread."""

import os

import numpy
import onnxruntime


class Session:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            os.environ["BENCH_GRAPH"], options, providers=["CPUExecutionProvider"]
        )

    def run(self, rows):
        """`rows` float32 [batch, features]; float32 [batch, 1]."""
        return self._session.run(None, {"x": rows})[0]


def row(values):
    return numpy.asarray(values, dtype=numpy.float32)
