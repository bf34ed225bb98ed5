"""The saga tables that are partitioned by week: retention drops steps and history of a whole week (ADR 40)."""

from common.postgresql.partitions import PartitionedTable

# Steps are updated in place, which needs room on their page. The history is only ever inserted.
STEPS = PartitionedTable(
    "saga_steps",
    key="saga_id",
    parent="saga_instances",
    storage={
        "fillfactor": "80",
        "autovacuum_vacuum_scale_factor": "0.02",
        "autovacuum_analyze_scale_factor": "0.02",
    },
)
EVENTS = PartitionedTable(
    "saga_events",
    key="saga_id",
    parent="saga_instances",
    storage={"autovacuum_vacuum_insert_scale_factor": "0.05"},
)
PARTITIONED_TABLES = (STEPS, EVENTS)
