"""Files with certificates, checked at start: a library would only say later that a connection failed."""

import ssl

from django.core.exceptions import ImproperlyConfigured


def require_ca_file(name: str, path: str) -> str:
    """Returns the path. Raises `ImproperlyConfigured`, which names the setting."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}={path}: {_explain(error)}. Give a PEM file with certificates of authorities."
        ) from error
    return path


def require_key_pair(names: tuple[str, str], certificate: str, key: str) -> None:
    """Raises `ImproperlyConfigured` unless both files belong together."""
    try:
        ssl.create_default_context().load_cert_chain(certificate, key, password=_refuse_passphrase)
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(
            f"{names[0]}={certificate} and {names[1]}={key}: {_explain(error)}. Give a certificate and its key, in PEM"
            " and without a passphrase."
        ) from error


def _refuse_passphrase() -> str:
    """Without it, OpenSSL would ask at the terminal."""
    raise ValueError("the key has a passphrase")


def _explain(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return "the content is not usable"
    return str(getattr(error, "strerror", None) or error)
