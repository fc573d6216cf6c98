"""LitServe: batches of rows, a worker per core, its queue for high rates."""

import os

import litserve
import numpy
from onnx_session import Session, row


class Model(litserve.LitAPI):
    def setup(self, device):
        self.session = Session()

    def decode_request(self, request):
        return row(request["x"])

    def batch(self, inputs):
        return numpy.stack(inputs)

    def predict(self, inputs):
        return self.session.run(inputs)

    def unbatch(self, output):
        return list(output)

    def encode_response(self, output):
        return {"y": output.tolist()}


if __name__ == "__main__":
    api = Model(
        max_batch_size=int(os.environ["BENCH_BATCH"]),
        batch_timeout=float(os.environ["BENCH_WAIT_S"]),
    )
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=int(os.environ["BENCH_WORKERS"]),
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=int(os.environ["BENCH_PORT"]),
        num_api_servers=int(os.environ["BENCH_API_SERVERS"]),
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )
