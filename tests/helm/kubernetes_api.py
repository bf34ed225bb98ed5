"""The part of Kubernetes' API that Helm needs to install a chart. It stores the created objects in their order.

It validates nothing: the tests validate the objects against Kubernetes' published schemas.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# Kind and plural of the objects that the chart creates, for each group and version.
RESOURCES = {
    "api/v1": {"services": "Service", "configmaps": "ConfigMap"},
    "apis/apps/v1": {"deployments": "Deployment"},
    "apis/autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "apis/batch/v1": {"jobs": "Job"},
    "apis/networking.k8s.io/v1": {"ingresses": "Ingress", "networkpolicies": "NetworkPolicy"},
    "apis/policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
}
COMPLETED = {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}
# Tells a client that begins to watch that it has got all existing objects.
END_OF_FIRST_EVENTS = {"k8s.io/initial-events-end": "true"}


class KubernetesApi(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.created: list[dict[str, Any]] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextmanager
    def serving(self) -> Iterator["KubernetesApi"]:
        thread = threading.Thread(target=self.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            self.shutdown()
            self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KubernetesApi

    def do_GET(self) -> None:
        path, _, query = self.path.strip("/").partition("?")
        if path in DISCOVERY:
            self._answer(DISCOVERY[path])
        elif path in self.server.objects:
            self._answer(self.server.objects[path])
        elif "watch=true" in query:
            self._watch(path)
        else:
            self._answer({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    def do_POST(self) -> None:
        path = self.path.strip("/").partition("?")[0]
        created = self._read()
        self.server.created.append(created)
        name = created["metadata"]["name"]
        kept = {**created, "metadata": {**created["metadata"], "uid": name, "resourceVersion": "1"}}
        if created["kind"] == "Job":
            kept["status"] = COMPLETED
        self.server.objects[f"{path}/{name}"] = kept
        self._answer(kept, 201)

    def do_DELETE(self) -> None:
        self._read()
        self.server.objects.pop(self.path.strip("/").partition("?")[0], None)
        self._answer({"kind": "Status", "status": "Success"})

    def _watch(self, path: str) -> None:
        group, _, rest = path.partition("/namespaces/")
        kind = RESOURCES[group][rest.rpartition("/")[2]]
        metadata = {"resourceVersion": "1", "annotations": END_OF_FIRST_EVENTS}
        version = group.partition("/")[2]
        end = {"kind": kind, "apiVersion": version, "metadata": metadata}
        existing = [each for name, each in self.server.objects.items() if name.startswith(f"{path}/")]
        events = [
            *({"type": "ADDED", "object": each} for each in existing),
            {"type": "BOOKMARK", "object": end},
        ]
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"".join(json.dumps(event).encode() + b"\n" for event in events))
        self.server.stopping.wait()

    def _read(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or "{}")
        return body

    def _answer(self, value: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: Any) -> None:
        pass


def _describe_api() -> dict[str, Any]:
    """Lists the kinds of objects. Says that the server validates fields: otherwise Helm requests the whole schema."""
    groups = [path.removeprefix("apis/") for path in RESOURCES if path.startswith("apis/")]
    described: dict[str, Any] = {
        "version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "api": {"kind": "APIVersions", "versions": ["v1"]},
        "apis": {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_describe_group(each) for each in groups],
        },
        "openapi/v3": {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in RESOURCES}},
    }
    for path, kinds in RESOURCES.items():
        described[path] = {
            "kind": "APIResourceList",
            "groupVersion": path.partition("/")[2],
            "resources": [
                {
                    "name": name,
                    "singularName": "",
                    "namespaced": True,
                    "kind": kind,
                    "verbs": ["create", "get", "watch"],
                }
                for name, kind in kinds.items()
            ],
        }
        described[f"openapi/v3/{path}"] = {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.34.0"},
            "paths": {
                f"/{path}/{name}": {"patch": _describe_patch(path, kind)} for name, kind in kinds.items()
            },
        }
    return described


def _describe_group(version: str) -> dict[str, Any]:
    described = {"groupVersion": version, "version": version.rpartition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [described], "preferredVersion": described}


def _describe_patch(path: str, kind: str) -> dict[str, Any]:
    group, _, version = path.partition("/")[2].rpartition("/")
    return {
        "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
    }


DISCOVERY = _describe_api()
