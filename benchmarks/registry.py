"""All benchmarks, in the order in which they run and are shown. A name is that of a module in this folder."""

NAMES = (
    # Requests
    "cpu",
    "payments",
    "profile_cpu",
    "replay",
    "refunds",
    "webhooks_in",
    "wal",
    "memory",
    "slow_clients",
    "overload",
    "tracing",
    # Sagas and polls
    "sagas",
    "start",
    "sweep",
    "backlog",
    "fairness",
    "outage",
    "polling",
    "periodic_tasks",
    "routing",
    # Events out
    "events",
    "webhooks_out",
    # Long histories
    "office",
    "search",
    "work_queue",
    "growth",
    "migrate",
    # Settlement
    "month",
    "million_lines",
    "balances",
)
