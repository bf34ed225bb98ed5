"""Files with certificates, checked at start: a library would only say later that a connection failed."""

import ssl

from django.core.exceptions import ImproperlyConfigured


def require_ca_file(name: str, path: str) -> str:
    """Returns the path. Raises `ImproperlyConfigured`, which names the setting."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # also ssl.SSLError
        reason = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "no certificate in PEM"
        raise ImproperlyConfigured(f"{name}={path}: {reason}. Give a PEM file with certificates of authorities.") from error
    return path


def require_key_pair(names: tuple[str, str], certificate: str, key: str) -> None:
    """Raises `ImproperlyConfigured` unless both files belong together."""
    try:
        ssl.create_default_context().load_cert_chain(certificate, key)
    except OSError as error:
        raise ImproperlyConfigured(
            f"{names[0]}={certificate} and {names[1]}={key}: {error.strerror or 'unreadable'}. Give a certificate and its"
            " key, in PEM and without a passphrase."
        ) from error
