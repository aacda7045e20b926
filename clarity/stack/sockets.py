"""The Unix sockets of SeaweedFS: it leaves them in /tmp however it ends, and has no flag that moves all of them."""

import socket
from pathlib import Path

from clarity.stack.ports import Ports

_NAMES = {
    "s3": "s3",
    "s3_filer": "filer",
    "s3_grpc": "s3-grpc",
    "s3_admin_grpc": "admin-grpc",
    "s3_filer_grpc": "filer-grpc",
    "s3_master_grpc": "master-grpc",
    "s3_volume_grpc": "volume-grpc",
}
"""What SeaweedFS calls the socket that belongs to a port of ours."""


def clear(ports: Ports) -> None:
    """Remove those of a store that has ended, by the ports it had; none before the first start."""
    for port, name in _NAMES.items():
        if port in ports:
            remove_dead(Path(f"/tmp/seaweedfs-{name}-{ports[port]}.sock"))  # noqa: S108  SeaweedFS's place, not ours


def remove_dead(path: Path) -> None:
    """Remove a socket unless somebody answers there: another home's store, where it took our port meanwhile."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:  # not there, or another user's
            return
