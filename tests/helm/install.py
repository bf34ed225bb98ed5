"""Installs the chart with Helm itself, once for each set of values, and prints what Helm created or refused.

    python -m tests.helm.install '[{"settings": …}, …]'

Helm is a Go library in the package helm-sdkpy. It runs in a process of its own, because its runtime must not be forked.
"""

import asyncio
import json
import sys
import tempfile
from typing import Any

import helm_sdkpy

from scripts.local.config import ROOT
from tests.helm.kubernetes_api import KubernetesApi

CHART = ROOT / "deploy" / "helm" / "payment-platform"
RELEASE = "pay"


def main() -> None:
    print(
        json.dumps({"lint": _lint(), "installed": [_install(values) for values in json.loads(sys.argv[1])]})
    )


def _lint() -> Any:
    return asyncio.run(helm_sdkpy.Lint(helm_sdkpy.Configuration()).run(str(CHART)))


def _install(values: dict[str, Any]) -> dict[str, Any]:
    with KubernetesApi().serving() as api, tempfile.NamedTemporaryFile("w", suffix=".yaml") as kubeconfig:
        json.dump(_configuration(api.url), kubeconfig)
        kubeconfig.flush()
        configuration = helm_sdkpy.Configuration(namespace="payments", kubeconfig=kubeconfig.name)
        try:
            asyncio.run(helm_sdkpy.Install(configuration).run(RELEASE, str(CHART), values=values, wait=False))
        except helm_sdkpy.InstallError as error:
            return {"error": str(error), "created": api.created}
        return {"error": "", "created": api.created}


def _configuration(url: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": {"server": url}}],
        "users": [{"name": "user", "user": {}}],
        "contexts": [{"name": "it", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "it",
    }


if __name__ == "__main__":
    main()
