"""Puts a finished file at its destination: a folder, or a bucket of S3.

A reader of the destination sees the whole file or none. The same key replaces the file of an earlier try, so a lost
answer leaves one file.
"""

import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from backoffice.reports.destination_settings import Bucket, Destination, Folder
from backoffice.reports.files import WrittenFile

TIMEOUT_SECONDS: Final = 30  # of a connection or a read; a file is sent in parts


class DestinationFailed(Exception):
    """The file may or may not be there. The text says why, without credentials."""


def find_destination(name: str) -> Destination | None:
    destination: Destination | None = settings.REPORT_DESTINATIONS.get(name)
    return destination


def list_usable_names() -> list[str]:
    """Buckets need `requirements-reports.txt`."""
    has_sdk = find_spec("boto3") is not None
    destinations: Mapping[str, Destination] = settings.REPORT_DESTINATIONS
    return sorted(
        name for name, destination in destinations.items() if has_sdk or isinstance(destination, Folder)
    )


def deliver(source: Path, *, destination: str, key: str, written: WrittenFile) -> None:
    """Raises `DestinationFailed`."""
    match find_destination(destination):
        case Folder() as folder:
            _deliver_to_folder(source, folder, key)
        case Bucket() as bucket:
            _deliver_to_bucket(source, bucket, key, written)
        case _:
            raise DestinationFailed(f"REPORT_DESTINATIONS has no {destination!r}")


def _deliver_to_folder(source: Path, folder: Folder, key: str) -> None:
    """The name appears when the content is on the disk."""
    target = folder.path / key
    # Always the same name, so that a crash leaves at most one of them, which the next try replaces.
    partial = target.with_name(f".{target.name}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as given, partial.open("wb") as file:
            shutil.copyfileobj(given, file, 1 << 20)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise DestinationFailed(f"{target}: {error.strerror or error}") from error


def _sync_folder(path: Path) -> None:
    """Keeps the new name through a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _deliver_to_bucket(source: Path, bucket: Bucket, key: str, written: WrittenFile) -> None:
    """S3 shows an object when all of its parts are there."""
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _make_client(bucket).upload_file(
            str(source),
            bucket.name,
            f"{bucket.prefix}{key}",
            ExtraArgs={"Metadata": {"sha256": written.sha256, "rows": str(written.row_count)}},
        )
    except (BotoCoreError, ClientError, Boto3Error) as error:
        raise DestinationFailed(f"{bucket}{key}: {error}") from error


def _make_client(bucket: Bucket) -> Any:
    import boto3
    from botocore.config import Config

    session = boto3.session.Session(profile_name=bucket.profile, region_name=bucket.region)
    config = Config(
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
        retries={"mode": "standard", "max_attempts": 3},
        # Storages other than Amazon's refuse the checksum that the SDK adds by itself.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=bucket.endpoint_url, config=config)
