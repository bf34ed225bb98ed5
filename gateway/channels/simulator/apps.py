from django.apps import AppConfig


class SimulatorConfig(AppConfig):
    name = "gateway.channels.simulator"
    label = "simulator"
