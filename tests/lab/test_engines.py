"""HAProxy, Patroni and the other servers accept the lab's configuration."""

import subprocess
from pathlib import Path

import pytest
import yaml
from patroni.validator import schema

from scripts.lab import engines
from scripts.lab.engines import Passwords
from scripts.lab.plan import APPLICATION_HOSTS, BROKERS, CACHES, DATABASES, NETWORK, Folders
from scripts.lab.processes import HAPROXY, list_programs
from scripts.lab.settings import Secrets, platform_settings
from scripts.local.wheels import PACKAGES, POSTGRES_BIN

PASSWORDS = Passwords("p", "r", "w", "a", "m")


@pytest.mark.parametrize(
    "text",
    [engines.database_balancer(), engines.edge_balancer(), engines.bank_balancer(40004, 40014)],
    ids=["database", "edge", "bank"],
)
def test_haproxy_accepts_its_configuration(text: str, tmp_path: Path) -> None:
    """HAProxy checks a file without opening its addresses."""
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    checked = subprocess.run([HAPROXY, "-c", "-V", "-f", str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_patroni_accepts_its_configuration(tmp_path: Path) -> None:
    """Uses the validator of `patroni --validate-config`, which also looks for PostgreSQL's programs."""
    text = engines.patroni_configuration(
        DATABASES[0], tmp_path / "postgres", PACKAGES / POSTGRES_BIN, PASSWORDS
    )
    # It tries to reach the addresses; a loopback address refuses at once.
    values = yaml.safe_load(text.replace(NETWORK, "127.77.0"))
    problems = [str(each) for each in schema.validate(values) if not each.status]
    assert not [each for each in problems if "is not reachable" not in each], problems
    values["bootstrap"]["dcs"]["ttl"] = 1
    assert any("ttl" in str(each) for each in schema.validate(values) if not each.status)


def test_no_commit_without_a_standby() -> None:
    values = yaml.safe_load(engines.patroni_configuration(DATABASES[0], Path("/d"), Path("/b"), PASSWORDS))
    dcs = values["bootstrap"]["dcs"]
    assert (dcs["synchronous_mode"], dcs["synchronous_mode_strict"]) == (True, True)
    # Patroni's rule: a lease must last longer than two failed attempts to renew it.
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]


def test_each_server_lists_all_members_of_its_cluster() -> None:
    for host in DATABASES:
        command = " ".join(engines.etcd_command(host, Path("/data")))
        assert all(f"{each.name}=http://{each.address}:2380" in command for each in DATABASES)
    for host in BROKERS:
        text = engines.rabbitmq_configuration(host, PASSWORDS)
        assert all(f"= rabbit@{each.address}\n" in text for each in BROKERS)
    for host in CACHES:
        assert f"monitor payments {CACHES[0].address} 6379 2" in engines.sentinel_configuration(
            host, Path("/data")
        )


def test_the_platform_gets_documented_settings_only(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    secrets = Secrets.make(folders)
    assert Secrets.load(folders) == secrets
    settings = platform_settings(folders, secrets, APPLICATION_HOSTS[0])
    assert (settings["DB_HOST"], settings["DB_PORT"]) == ("127.0.0.1", "6432")
    assert settings["DB_DIRECT_HOST"].count(",") == 2
    assert not {"LOCAL_STACK", "PAYMENT_DEMO", "DEBUG", "CRASH_POINTS"} & set(settings)
    documented = (Path(__file__).parents[2] / "docs" / "CONFIGURATION.md").read_text()
    foreign = {"LOCAL_DIR", "PROMETHEUS_MULTIPROC_DIR", "WEB_WORKERS"}
    assert not [name for name in settings if name not in foreign and f"`{name}`" not in documented]


def test_programs_are_scripts_without_the_callers_environment(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    programs = list_programs(folders, Secrets.make(folders))
    assert len({program.name for program in programs}) == len(programs)
    web = next(program for program in programs if program.name == "gateway-a.web")
    assert "exec env -i " in web.to_script()
    assert "nsenter --net=/run/netns/lab-gateway-a" in web.to_script()
    checked = subprocess.run(["sh", "-n"], input=web.to_script(), text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr
