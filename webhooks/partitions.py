"""The webhook table that is partitioned by week: retention drops the attempts of a whole week (ADR 40)."""

from common.postgresql.partitions import PartitionedTable

# Each attempt is updated once, when its call ends.
ATTEMPTS = PartitionedTable(
    "webhook_attempts",
    key="delivery_id",
    parent="webhook_deliveries",
    storage={"fillfactor": "80", "autovacuum_vacuum_scale_factor": "0.02"},
)
PARTITIONED_TABLES = (ATTEMPTS,)
