"""One home of the stack on disk: folders, ports, credentials, and the file of addresses that Settings.load() reads."""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values

from clarity.errors import StackError
from clarity.settings import STACK_FILE, Settings
from clarity.stack.ports import Ports


@dataclass(frozen=True)
class Credentials:
    """Generated once per home; kept in a file that only its owner reads."""

    database_user: str
    database_password: str
    s3_access_key_id: str
    s3_secret_access_key: str

    @classmethod
    def generate(cls) -> "Credentials":
        return cls(
            "clarity", secrets.token_urlsafe(24), "CLARITY" + secrets.token_hex(8).upper(), secrets.token_hex(24)
        )


class Home:
    """Folders and small files below ``$CLARITY_HOME``: ``make`` and ``make_secrets`` make them, reading needs none."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.home.resolve()
        self.state = self.root / "stack"
        self.logs = self.root / "logs"
        self.addresses_file = self.root / STACK_FILE
        self.id = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]

    def make(self) -> None:
        """Create the folders. Raises StackError where the disk refuses."""
        with self._place():
            for folder in (self.root, self.state, self.logs):
                folder.mkdir(parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n")

    def make_secrets(self) -> None:
        """Where there are none: under the lock of the home, as of two that make them each would go on with its own.

        Raises StackError where the disk refuses.
        """
        with self._place():
            if not self._credentials_file.exists():
                write_private(self._credentials_file, json.dumps(vars(Credentials.generate()), indent=2) + "\n")
            if not self._identity_file.exists():
                made = {"CLARITY_IDENTITY_KEYS": f"local:{_random_key()}", "CLARITY_SEARCH_KEY": _random_key()}
                write_private(self._identity_file, json.dumps(made, indent=2) + "\n")

    @contextmanager
    def _place(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StackError(f"{self.root}: {error.strerror}, the stack has no place for its data") from None

    @property
    def _credentials_file(self) -> Path:
        return self.state / "credentials.json"

    @property
    def credentials(self) -> Credentials:
        return Credentials(**json.loads(self._credentials_file.read_text()))

    @property
    def ports(self) -> Ports:
        return Ports(self.state / "ports.json")

    @property
    def identity_keys(self) -> dict[str, str]:
        """What seals who patients are in the local database, and what they are searched by, as variables.

        Made once. Without this file nobody reads the names again: it belongs into a backup, apart from the database's.
        """
        return dict(json.loads(self._identity_file.read_text())) if self._identity_file.exists() else {}

    @property
    def _identity_file(self) -> Path:
        return self.state / "identity.json"

    def mark(self, part: str) -> str:
        """What processes of this part carry in their environment."""
        return f"{self.root}:{part}"

    def record_file(self, part: str) -> Path:
        return self.state / f"{part}.json"

    def log(self, part: str) -> Path:
        return self.logs / f"{part}.log"

    def local_addresses(self) -> dict[str, str]:
        """The variables that the local stack wrote for its own parts; empty before the first start."""
        values = dotenv_values(self.addresses_file, interpolate=False) if self.addresses_file.exists() else {}
        return {name: value for name, value in values.items() if value is not None}

    def write_addresses(self, values: Mapping[str, str]) -> None:
        """Replace the file of addresses (0600)."""
        lines = ["# Written by `clarity up`; the environment wins over it."]
        write_private(self.addresses_file, "\n".join(lines + [f"{k}='{v}'" for k, v in sorted(values.items())]) + "\n")


def _random_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode("ascii")


def write_private(file: Path, text: str) -> None:
    """Write a file that nobody else can read at any moment, at once."""
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    temporary.replace(file)
