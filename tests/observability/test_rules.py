"""Alert rules checked by the real promtool, and the documents of alerts and dashboards."""

import json
import re
from pathlib import Path

import pytest
import yaml

from scripts.local.config import ROOT
from tests.observability.scraper import CONFIGURATION, promtool

RULES = yaml.safe_load((CONFIGURATION / "rules" / "alerts.yml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
TESTS = CONFIGURATION / "tests" / "rules.yml"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))


def test_configuration_and_rules_are_valid() -> None:
    checked = promtool("check", "config", CONFIGURATION / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_rules_pass_promtools_tests() -> None:
    tested = promtool("test", "rules", TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_tested() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load(TESTS.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
        if case["exp_alerts"]
    }
    assert tested == ALERTS.keys()


def test_every_alert_has_a_runbook() -> None:
    chapters = set(re.findall(r"^### (\w+)$", (ROOT / "docs" / "OPERATIONS.md").read_text(), re.MULTILINE))
    assert chapters == ALERTS.keys()
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["runbook"] == f"docs/OPERATIONS.md#{name.lower()}"


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_use_known_data_sources(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    assert dashboard["uid"] == file.stem
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/datasources.yml").read_text())
    known = {source["uid"] for source in sources["datasources"]}
    used = {target["datasource"]["uid"] for panel in dashboard["panels"] for target in panel["targets"]}
    assert used <= known
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_every_subject_has_a_dashboard() -> None:
    assert {"payments", "sagas", "idempotency", "events", "channels"} <= {file.stem for file in DASHBOARDS}
