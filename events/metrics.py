from prometheus_client import Counter

PUBLISHED = Counter("outbox_published_total", "Events that every sink has taken", ["type"])
REFUSED = Counter("outbox_sink_unavailable_total", "Batches that a sink could not take", ["sink"])
