"""Addresses and secrets, from the environment; a class only, nothing is read on import.

The local stack writes its own addresses to ``$CLARITY_HOME/stack.env`` (0600); the environment always wins over it.
"""

import os
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from clarity.errors import SettingsError

STACK_FILE = "stack.env"


class Settings(BaseSettings):
    """Where Clarity's services are. ``Settings.load()`` builds it once, at an entry point."""

    model_config = SettingsConfigDict(extra="ignore", populate_by_name=True)

    home: Path = Field(default=Path(".clarity"), alias="CLARITY_HOME")
    project: Path = Field(default=Path(), alias="CLARITY_PROJECT")
    """The folder of conf/, dvc.yaml and data.dvc: the DVC workspace. Where it is not set, the nearest one upwards."""
    database_url: SecretStr | None = Field(default=None, alias="CLARITY_DATABASE_URL")
    s3_endpoint_url: str | None = Field(default=None, alias="CLARITY_S3_ENDPOINT_URL")
    s3_access_key_id: str | None = Field(default=None, alias="CLARITY_S3_ACCESS_KEY_ID")
    s3_secret_access_key: SecretStr | None = Field(default=None, alias="CLARITY_S3_SECRET_ACCESS_KEY")
    s3_region: str = Field(default="us-east-1", alias="CLARITY_S3_REGION")
    s3_bucket: str = Field(default="clarity", alias="CLARITY_S3_BUCKET")
    mlflow_tracking_uri: str | None = Field(default=None, alias="MLFLOW_TRACKING_URI")
    prefect_api_url: str | None = Field(default=None, alias="PREFECT_API_URL")
    webhook_url: SecretStr | None = Field(default=None, alias="CLARITY_WEBHOOK_URL")
    """Told by POST of a night that failed; secret, as such addresses hold a token."""

    dask_address: str | None = Field(default=None, alias="CLARITY_DASK_ADDRESS")
    """Of a running Dask scheduler, tcp://host:8786; without it ``runner: dask`` makes a cluster on this machine."""
    identity_keys: SecretStr | None = Field(default=None, alias="CLARITY_IDENTITY_KEYS")
    """``id:base64`` of 32 bytes, several with commas: the first seals who patients are, all of them open it."""
    search_key: SecretStr | None = Field(default=None, alias="CLARITY_SEARCH_KEY")
    """Base64 of 32 bytes: what patients are searched by is hashed with it. It never changes."""
    s3_public_url: str | None = Field(default=None, alias="CLARITY_S3_PUBLIC_URL")
    """Where callers reach the store: presigned addresses are signed for it. The endpoint itself where it is not set."""
    tls_certificate: Path | None = Field(default=None, alias="CLARITY_TLS_CERTIFICATE")
    tls_key: Path | None = Field(default=None, alias="CLARITY_TLS_KEY")
    api_url: str | None = Field(default=None, alias="CLARITY_API_URL")
    """Of the online service, for its clients; the local stack's own where it serves."""
    api_key: SecretStr | None = Field(default=None, alias="CLARITY_API_KEY")
    serving_config: str | None = Field(default=None, alias="CLARITY_SERVING_CONFIG")
    """What `clarity up` serves with: conf/pipeline.yaml, then overlays, with commas; that file alone where not set."""

    cores: int | None = Field(default=None, alias="CLARITY_CORES", ge=1)
    """How many cores this process uses; all that it may use where it is not set."""

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment, then the local stack's file for what the environment does not say.

        Raises SettingsError where a value is malformed.
        """
        project = Path(os.environ.get("CLARITY_PROJECT") or _nearest(Path.cwd())).resolve()
        home = Path(os.environ.get("CLARITY_HOME") or project / ".clarity").resolve()
        try:
            settings = cls(_env_file=home / STACK_FILE)  # type: ignore[call-arg]
        except ValidationError as error:
            names = ", ".join(str(detail["loc"][0]) for detail in error.errors())
            raise SettingsError(f"environment: {names}, malformed") from None
        return settings.model_copy(update={"home": home, "project": project})

    @property
    def webhook(self) -> str | None:
        """The plain address of the webhook, None where nobody is to be told."""
        return (self.webhook_url.get_secret_value() if self.webhook_url else "") or None

    def need(self, name: str) -> str:
        """The plain value of a setting, or SettingsError that says how to get it."""
        value = getattr(self, name)
        if value is None:
            alias = type(self).model_fields[name].alias
            raise SettingsError(f"{alias}: not set; start the local stack with `clarity up`, or set it")
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    def environment(self) -> dict[str, str]:
        """The variables that a child process (DVC, Prefect, a training) needs to reach the same services."""
        env = {
            "CLARITY_HOME": str(self.home),
            "CLARITY_PROJECT": str(self.project),
            "CLARITY_S3_BUCKET": self.s3_bucket,
        }
        for name, info in type(self).model_fields.items():
            if getattr(self, name) is not None and name not in ("home", "project", "s3_bucket"):
                env[str(info.alias)] = self.need(name)
        if self.s3_access_key_id and self.s3_secret_access_key:
            env["AWS_ACCESS_KEY_ID"] = self.s3_access_key_id
            env["AWS_SECRET_ACCESS_KEY"] = self.s3_secret_access_key.get_secret_value()
        env["AWS_DEFAULT_REGION"] = self.s3_region
        if self.s3_endpoint_url:
            env["AWS_ENDPOINT_URL_S3"] = self.s3_endpoint_url
            env["AWS_REQUEST_CHECKSUM_CALCULATION"] = "when_required"
            env["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
        return env


def _nearest(folder: Path) -> Path:
    """The project that ``folder`` lies in, as a notebook's or a script's does; itself where there is none."""
    return next((one for one in (folder, *folder.parents) if (one / "conf/pipeline.yaml").is_file()), folder)
