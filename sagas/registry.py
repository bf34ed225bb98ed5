"""The definitions that this process knows. Each app registers its own in `AppConfig.ready()`."""

from sagas import metrics
from sagas.definitions import Definition

_definitions: dict[tuple[str, int], Definition] = {}


def register(definition: Definition) -> Definition:
    """Registers a definition, and returns it. Keep an old version registered while sagas of it are open."""
    known = _definitions.setdefault((definition.name, definition.version), definition)
    assert known is definition, f"{definition.name} version {definition.version} is registered twice"
    metrics.create_series(definition.name)
    return definition


def find_definition(name: str, version: int) -> Definition | None:
    return _definitions.get((name, version))


def list_definitions() -> list[Definition]:
    return sorted(_definitions.values(), key=lambda definition: (definition.name, definition.version))
