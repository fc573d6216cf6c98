"""BentoML: its adaptive batching, a worker per core, no access log, no metrics."""

import os
from typing import Annotated

import bentoml
import numpy
from bentoml.validators import DType
from onnx_session import Session


@bentoml.service(
    workers=int(os.environ["BENCH_WORKERS"]),
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Model:
    def __init__(self):
        self.session = Session()

    @bentoml.api(
        batchable=True,
        max_batch_size=int(os.environ["BENCH_BATCH"]),
        max_latency_ms=int(os.environ["BENCH_LATENCY_MS"]),
    )
    def predict(
        self, x: Annotated[numpy.ndarray, DType("float32")]
    ) -> Annotated[numpy.ndarray, DType("float32")]:
        return self.session.run(x)
