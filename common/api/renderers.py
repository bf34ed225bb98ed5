"""Renders JSON in UTF-8 with unescaped Chinese; keys keep their order."""

import json
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from rest_framework.renderers import BaseRenderer


def to_json(value: Any) -> bytes:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, allow_nan=False).encode()


class JsonRenderer(BaseRenderer):
    """Renders data. Bytes are JSON already (replays) and pass unchanged."""

    media_type = "application/json"
    format = "json"
    charset = None
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        return data if isinstance(data, bytes) else to_json(data)
