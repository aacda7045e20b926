"""Which parts there are, which of them are local here, and at what addresses."""

from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from clarity.errors import StackError
from clarity.settings import Settings
from clarity.stack.addresses import Home
from clarity.stack.mlflow import MLflow
from clarity.stack.part import Part
from clarity.stack.postgres import Postgres
from clarity.stack.prefect import Prefect
from clarity.stack.process import Record
from clarity.stack.s3 import ObjectStore
from clarity.stack.serving import Serving
from clarity.stack.worker import Worker

PARTS: tuple[Part, ...] = (Postgres(), ObjectStore(), Prefect(), MLflow(), Serving(), Worker())
"""In an order in which each comes after what it needs."""
_BY_NAME = {part.name: part for part in PARTS}


def is_external(part: Part, home: Home, settings: Settings) -> bool:
    """Whether the part's address comes from outside, and not from the file that the local stack itself wrote."""
    if part.address is None:
        return False
    return _from_outside(part.address, home, settings)


def _from_outside(alias: str, home: Home, settings: Settings) -> bool:
    value = _value(settings, alias)
    return value is not None and home.local_addresses().get(alias) != value


def _value(settings: Settings, alias: str) -> str | None:
    field_name = next(name for name, info in Settings.model_fields.items() if info.alias == alias)
    return None if getattr(settings, field_name) is None else settings.need(field_name)


def with_needs(names: Sequence[str] | None) -> list[Part]:
    """The named parts (None: all) and whatever they need. StackError for an unknown name."""
    wanted = set(names if names is not None else _BY_NAME)
    if unknown := wanted - set(_BY_NAME):
        raise StackError(f"{', '.join(sorted(unknown))}: not a part of the stack, which has {', '.join(_BY_NAME)}")
    for part in reversed(PARTS):
        if part.name in wanted:
            wanted |= {*part.needs, *part.beside}
    return [part for part in PARTS if part.name in wanted]


def with_dependents(names: Sequence[str] | None) -> list[str]:
    """The named parts (None: all) and whatever needs them."""
    wanted = set(names if names is not None else _BY_NAME)
    for part in PARTS:
        if wanted & set(part.needs):
            wanted.add(part.name)
    return [part.name for part in PARTS if part.name in wanted]


def claim_ports(home: Home, local: Sequence[Part]) -> None:
    """Give every local part its ports; one that is not running gets others where a stranger took them."""
    ports = home.ports
    for part in local:
        record = Record.read(home.record_file(part.name))
        running = record is not None and record.alive()
        if not running:
            part.stop(home)  # what a crash has left of it would seem a stranger on its port
        ports.claim(part.ports, renew=not running)


def addressed(home: Home, settings: Settings, local: Sequence[Part]) -> Settings:
    """Fill in the local parts' addresses, and keep them in the file for every later command."""
    kept = home.local_addresses()
    outside = {name for part in local for name in part.given if _from_outside(name, home, settings)}
    for part in PARTS:
        if is_external(part, home, settings):
            for name in part.variables(home) if part.ports[0] in home.ports else ():
                kept.pop(name, None)
    for part in local:
        kept |= part.variables(home)
    kept = {name: value for name, value in kept.items() if name not in outside}
    home.write_addresses(kept)
    return with_addresses(settings, kept)


def with_addresses(settings: Settings, addresses: Mapping[str, str]) -> Settings:
    """The settings with these variables over them."""
    update: dict[str, object] = {}
    for name, info in Settings.model_fields.items():
        if info.alias is not None and info.alias in addresses:
            secret = "SecretStr" in str(info.annotation)
            update[name] = SecretStr(addresses[info.alias]) if secret else addresses[info.alias]
    return settings.model_copy(update=update)
