"""Hosts and ports of a server, in libpq's syntax: several with commas."""

from django.core.exceptions import ImproperlyConfigured


def require_addresses(host_name: str, hosts: str, port_name: str, ports: str) -> None:
    """Raises `ImproperlyConfigured`, which names the settings."""
    if not all(host and host == host.strip() for host in hosts.split(",")):
        raise ImproperlyConfigured(
            f"{host_name}={hosts}: give a host, or several with commas and without spaces."
        )
    if not all(port.isdecimal() and 0 < int(port) < 65536 for port in ports.split(",")):
        raise ImproperlyConfigured(
            f"{port_name}={ports}: give a port, or one for each host of {host_name} with commas."
        )
    if ports.count(",") not in (0, hosts.count(",")):
        raise ImproperlyConfigured(
            f"{host_name}={hosts} and {port_name}={ports}: give one port for all hosts or one for each."
        )
