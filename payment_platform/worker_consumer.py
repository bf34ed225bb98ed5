"""The consumer of Celery's worker, without queues for tasks of a later time."""

from celery.worker.consumer import Consumer


class PlatformConsumer(Consumer):
    """Leaves out Celery's 28 queues of delayed tasks, which it makes on RabbitMQ as soon as a queue is a quorum queue.

    No task of the platform has a time (`eta`, `countdown`). Each of these queues would be replicated too, and while a
    node of RabbitMQ is down, making them delays the start of a worker by 20 s.
    """

    class Blueprint(Consumer.Blueprint):  # type: ignore[valid-type, misc]
        default_steps = tuple(
            step for step in Consumer.Blueprint.default_steps if not str(step).endswith(":DelayedDelivery")
        )
