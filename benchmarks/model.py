"""Predicts the payments a second of one machine from the CPU that a payment costs, beside the measured rate.

The parts are measured apart from each other, not under the load whose rate is predicted:

- Python, PostgreSQL and Redis: requests in one process, one after the other (`benchmarks.cpu`);
- the web server: what the gateway costs for the bare view, less its Python in one process;
- the client: what wrk costs for the bare view.

The difference between prediction and measurement is what the model leaves out: waiting on locks, cores that are idle,
and caches that more processes share.
"""

from dataclasses import dataclass

from benchmarks.results import Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """CPU milliseconds for one payment, and payments a second."""

    python: float
    web_server: float
    postgresql: float
    redis: float
    client: float
    cores: int
    measured: float

    @property
    def total(self) -> float:
        return self.python + self.web_server + self.postgresql + self.redis + self.client

    @property
    def predicted(self) -> float:
        return self.cores * 1000 / self.total

    @property
    def difference_percent(self) -> float:
        """How much the measured rate differs from the prediction."""
        return (self.measured / self.predicted - 1) * 100


def build_model(results: Results) -> Model | None:
    """Returns nothing while a benchmark that it needs has no result."""
    if not {"cpu", "payments"} <= set(results.by_name):
        return None
    cpu, payments = (
        {figure.name: figure.value for figure in results.by_name[name].figures}
        for name in ("cpu", "payments")
    )
    return Model(
        python=cpu["POST /payments, Python"],
        web_server=max(0.0, payments["bare view, CPU of the gateway"] - cpu["bare view, Python"]),
        postgresql=cpu["POST /payments, PostgreSQL"],
        redis=cpu["POST /payments, Redis"],
        client=payments["bare view, CPU of the client"],
        cores=results.machine.cores,
        measured=payments["POST /payments"],
    )
