"""What a route needs of this process: settings, numbers, and connections made at first use, never before a fork."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from clarity.params import Params
from clarity.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from clarity.screening.policy import Policy
    from clarity.storage.objects import Objects


class Site:
    """One service. Cheap to make and to hand to another process; connects to nothing by itself."""

    def __init__(self, settings: Settings, params: Params) -> None:
        self.settings = settings
        self.params = params
        self._made: tuple[int, Engine] | None = None
        self._objects: Objects | None = None
        self._policy: Policy | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"settings": self.settings, "params": self.params, "_made": None, "_objects": None, "_policy": None}

    @property
    def engine(self) -> "Engine":
        """Of this process. Raises SettingsError, StorageError."""
        from clarity.storage import database

        if self._made is None or self._made[0] != os.getpid():
            self._made = (os.getpid(), database.engine(self.settings.need("database_url"), pool_size=16))
        return self._made[1]

    @property
    def objects(self) -> "Objects":
        """The object store. Raises SettingsError where no store is configured."""
        from clarity.storage.objects import OF_A_CALLER, Objects

        if self._objects is None:
            self.settings.need("s3_secret_access_key")
            self._objects = Objects(self.settings, patience=OF_A_CALLER)
        return self._objects

    @property
    def idempotency(self) -> timedelta:
        """How long a request is remembered under its key."""
        return timedelta(seconds=self.params.serving.idempotency_s)

    @property
    def policy(self) -> "Policy":
        """The referral policy of ``screening.policy``. Raises ParameterError."""
        from clarity.screening import policy

        if self._policy is None:
            self._policy = policy.load(self.settings.project / policy.FOLDER, self.params.screening.policy)
        return self._policy
