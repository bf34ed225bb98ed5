"""The connection to Kafka as librdkafka's properties, each checked at start.

Names and values: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md
"""

from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from payment_platform.settings.certificates import require_ca_file, require_key_pair

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def read_kafka_connection(
    *,
    brokers: str,
    protocol: str,
    mechanism: str,
    username: str,
    password: str,
    ca_file: str,
    certificate_file: str,
    key_file: str,
) -> dict[str, str]:
    """Empty without brokers. Raises `ImproperlyConfigured`, which names the setting."""
    if not brokers:
        return {}
    addresses = [address.strip() for address in brokers.split(",")]
    if not all(_is_address(address) for address in addresses):
        raise ImproperlyConfigured(f"KAFKA_BROKERS={brokers}: give host:port, several with commas.")
    if protocol not in PROTOCOLS:
        raise ImproperlyConfigured(f"KAFKA_SECURITY_PROTOCOL={protocol}: give one of {', '.join(PROTOCOLS)}.")
    sasl = {
        "KAFKA_SASL_MECHANISM": mechanism,
        "KAFKA_SASL_USERNAME": username,
        "KAFKA_SASL_PASSWORD": password,
    }
    tls = {
        "KAFKA_CA_FILE": ca_file,
        "KAFKA_CERTIFICATE_FILE": certificate_file,
        "KAFKA_KEY_FILE": key_file,
    }
    connection = {"bootstrap.servers": ",".join(addresses), "security.protocol": protocol}
    if protocol.startswith("SASL"):
        connection |= _read_sasl(sasl, protocol)
    else:
        _refuse_unused(sasl, protocol)
    if protocol.endswith("SSL"):
        connection |= _read_tls(tls)
    else:
        _refuse_unused(tls, protocol)
    return connection


def _read_sasl(sasl: dict[str, str], protocol: str) -> dict[str, str]:
    mechanism, username, password = sasl.values()
    if mechanism not in MECHANISMS:
        raise ImproperlyConfigured(f"KAFKA_SASL_MECHANISM={mechanism}: give one of {', '.join(MECHANISMS)}.")
    for name, value in sasl.items():
        if not value:
            raise ImproperlyConfigured(f"{name}: required with KAFKA_SECURITY_PROTOCOL={protocol}.")
    return {"sasl.mechanism": mechanism, "sasl.username": username, "sasl.password": password}


def _read_tls(tls: dict[str, str]) -> dict[str, str]:
    """librdkafka verifies the certificate and its name by default."""
    ca_file, certificate_file, key_file = tls.values()
    found = {}
    if ca_file:
        found["ssl.ca.location"] = require_ca_file("KAFKA_CA_FILE", ca_file)
    if certificate_file or key_file:
        if not (certificate_file and key_file):
            missing = "KAFKA_KEY_FILE" if certificate_file else "KAFKA_CERTIFICATE_FILE"
            raise ImproperlyConfigured(f"{missing}: a certificate and its key are given together.")
        require_key_pair(("KAFKA_CERTIFICATE_FILE", "KAFKA_KEY_FILE"), certificate_file, key_file)
        found |= {"ssl.certificate.location": certificate_file, "ssl.key.location": key_file}
    return found


def _refuse_unused(given: dict[str, str], protocol: str) -> None:
    """A password or a certificate that is not used would be a false safety."""
    for name, value in given.items():
        if value:
            raise ImproperlyConfigured(f"{name}: not used with KAFKA_SECURITY_PROTOCOL={protocol}. Unset it.")


def _is_address(broker: str) -> bool:
    try:
        parts = urlsplit(f"//{broker}")
        return bool(parts.hostname) and parts.netloc == broker and parts.port not in (None, 0)
    except ValueError:
        return False
