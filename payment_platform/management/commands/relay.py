import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from common import telemetry
from common.postgresql.schema import wait_for_migrations
from events import relay
from events.sinks.configured import configured_sinks
from webhooks import fanout


class Command(BaseCommand):
    help = "Sends events from the outbox until it is stopped. Other relays stand by."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Send the events that wait now, then end.")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        if once:
            self.stdout.write(
                f"{relay.drain(sinks=configured_sinks(), fan_out_batch=fanout.fan_out_batch)} events sent"
            )
            return
        telemetry.begin_process()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        wait_for_migrations(stop)
        relay.run(sinks=configured_sinks(), fan_out=fanout.run, stop=stop)
