"""Helm installs the chart. The created objects must be valid by Kubernetes' published schemas."""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from kubernetes_validate.utils import latest_version, validate

from scripts.local.config import ROOT
from tests.helm.conftest import REFUSED, SETTINGS
from tests.helm.install import CHART, RELEASE

pytestmark = pytest.mark.stack

# The oldest version that `kubeVersion` allows, and the newest published schemas.
KUBERNETES_VERSIONS = ("1.29", latest_version())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]


@dataclass(frozen=True)
class Installed:
    objects: list[dict[str, Any]]
    error: str

    def list_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """Returns the objects of a kind, by their names without that of the release."""
        found = [each for each in self.objects if each["kind"] == kind]
        return {each["metadata"]["name"].removeprefix(f"{RELEASE}-"): each for each in found}

    def list_pods(self) -> dict[str, dict[str, Any]]:
        return {
            name: each["spec"]["template"]
            for name, each in {**self.list_kind("Deployment"), **self.list_kind("Job")}.items()
        }


@pytest.fixture(scope="module", params=["defaults", "everything"])
def installed(request: pytest.FixtureRequest, helm: dict[str, Any]) -> Installed:
    result = helm["installed"][["defaults", "everything"].index(request.param)]
    assert result["error"] == ""
    return Installed(result["created"], result["error"])


def test_lint_finds_no_error(helm: dict[str, Any]) -> None:
    assert helm["lint"]["Errors"] is None


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=list(REFUSED))
def test_invalid_values_are_refused(helm: dict[str, Any], number: int) -> None:
    _values, named = list(REFUSED.values())[number]
    result = helm["installed"][2 + number]
    assert named in result["error"]
    assert result["created"] == []


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_objects_are_valid(installed: Installed, version: str) -> None:
    assert len(installed.objects) > 20
    for each in installed.objects:
        validate(each, version, strict=True)


def test_processes_are_those_of_compose(installed: Installed) -> None:
    pods = {name: pod for name, pod in installed.list_pods().items() if name != "edge"}
    deployed = {f"payment-{name}": _container(pod)["command"] for name, pod in pods.items()}
    in_compose = {
        name: service.get("command", ["python", "manage.py", "serve"])
        for name, service in COMPOSE.items()
        if service["image"] == "payment-platform"
    }
    # Compose also seeds the demo.
    in_compose["payment-migrate"] = ["python", "manage.py", "migrate", "--no-input"]
    assert deployed == in_compose
    for name, pod in pods.items():
        assert _environment(pod)["SERVICE_NAME"] == f"payment-{name}"


def test_evidence_files_are_shared(helm: dict[str, Any]) -> None:
    """Every process mounts the claim where MEDIA_ROOT is, as in compose. Without a claim there is no such volume."""
    media = {"name": "media", "mountPath": "/media"}
    for number, is_shared in enumerate((False, True)):
        pods = Installed(helm["installed"][number]["created"], "").list_pods()
        for name in {*pods} - {"edge", "migrate"}:
            assert (media in _container(pods[name])["volumeMounts"]) is is_shared
            volumes = pods[name]["spec"]["volumes"]
            claims = [each["persistentVolumeClaim"] for each in volumes if each["name"] == "media"]
            assert claims == [{"claimName": "evidence"}] * is_shared
            assert _environment(pods[name])["MEDIA_ROOT"] == "/media"
    ours = [each for each in COMPOSE.values() if each["image"] == "payment-platform"]
    assert all("media:/media" in each["volumes"] for each in ours)
    assert all(each["environment"]["MEDIA_ROOT"] == "/media" for each in ours)


def test_migrations_are_done_first(installed: Installed) -> None:
    assert installed.objects[0]["kind"] == "Job"


def test_pods_may_do_nothing_but_their_work(installed: Installed) -> None:
    for pod in installed.list_pods().values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert _container(pod)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert _container(pod)["resources"]["limits"]["memory"]


def test_secrets_come_by_reference(installed: Installed) -> None:
    for name, pod in installed.list_pods().items():
        if name != "edge":
            assert _container(pod)["envFrom"] == [{"secretRef": {"name": "payment-platform"}}]
            assert not re.search("SECRET|PASSWORD|_KEYS?$", " ".join(_environment(pod)))


def test_every_selector_finds_pods(installed: Installed) -> None:
    labels = [pod["metadata"]["labels"] for pod in installed.list_pods().values()]
    selectors = [
        *(each["spec"]["selector"] for each in installed.list_kind("Service").values()),
        *(each["spec"]["selector"]["matchLabels"] for each in installed.list_kind("Deployment").values()),
        *(
            each["spec"]["selector"]["matchLabels"]
            for each in installed.list_kind("PodDisruptionBudget").values()
        ),
        *(
            each["spec"]["podSelector"]["matchLabels"]
            for each in installed.list_kind("NetworkPolicy").values()
        ),
    ]
    for selector in selectors:
        assert any(selector.items() <= each.items() for each in labels), selector
    assert all(_allowed_out(installed, name) for name in ("gateway", "webhooks", "sagas-live"))
    assert not any(_allowed_out(installed, name) for name in ("edge", "beat", "relay"))


def test_each_service_and_probe_finds_its_port(installed: Installed) -> None:
    pods = installed.list_pods()
    for name, service in installed.list_kind("Service").items():
        ports = {port["name"] for port in _container(pods[name])["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
    gateway = _container(pods["gateway"])
    assert gateway["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": 40003}
    assert _environment(pods["gateway"])["PORT"] == "40003"
    assert _environment(pods["poller"])["METRICS_PORT"] == "9100"


def test_the_edge_is_that_of_compose(installed: Installed) -> None:
    """Only the scheme differs: it comes from the Ingress, if there is one (`test_ingress`)."""
    configuration = installed.list_kind("ConfigMap")["edge"]["data"]["edge.conf.template"]
    configuration = configuration.replace("$scheme_of_client", "$scheme")
    assert configuration.strip() == (ROOT / "deploy/nginx/edge.conf.template").read_text().strip()


def test_only_the_gateway_is_scaled(helm: dict[str, Any]) -> None:
    scaled = Installed(helm["installed"][1]["created"], "")
    (scaler,) = scaled.list_kind("HorizontalPodAutoscaler").values()
    assert scaler["spec"]["scaleTargetRef"]["name"] == f"{RELEASE}-gateway"
    assert "replicas" not in scaled.list_kind("Deployment")["gateway"]["spec"]
    assert scaled.list_kind("Deployment")["beat"]["spec"]["strategy"] == {"type": "Recreate"}


def test_named_settings_and_metrics_exist() -> None:
    documented = set(
        re.findall(r"^\| `([A-Z0-9_]+)`", (ROOT / "docs/CONFIGURATION.md").read_text(), re.MULTILINE)
    )
    schema = json.loads((CHART / "values.schema.json").read_text())
    settings = schema["properties"]["settings"]
    assert {*settings["properties"], *settings["propertyNames"]["not"]["enum"]} - documented <= {
        "PROMETHEUS_MULTIPROC_DIR"
    }
    assert set(SETTINGS) <= documented
    assert "channel_calls_in_flight" in (ROOT / "channels/metrics.py").read_text()


def _container(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    return dict(container)


def _environment(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in _container(pod)["env"]}


def _allowed_out(installed: Installed, component: str) -> bool:
    """Returns whether the pods may reach the internet."""
    (expression,) = installed.list_kind("NetworkPolicy")["internet"]["spec"]["podSelector"][
        "matchExpressions"
    ]
    return component in expression["values"]
