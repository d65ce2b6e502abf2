"""NBD: where a volume's server listens, and what a client needs to reach it.

By default a UNIX socket in the state directory. With ``nbd_address`` a TCP port out of
the configured range; the port is claimed by a file that names the volume, so the address stays the same
until the export is removed, over daemons and reboots. Anyone who reaches the port can use the
volume: it belongs on a storage network.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from breezeblock import errors
from breezeblock.exports import graph
from breezeblock.exports.home import Home
from breezeblock.exports.record import Address

RECONNECT_SECONDS = 30
"""What a client should set as its reconnect delay: a resize breaks its connection for milliseconds, a restart of the daemon for longer."""
_BACKLOG = 128


def check_address(address: str) -> None:
    """Raise BadConfiguration unless ``address`` is one that clients can be told: an IP address, and no wildcard."""
    try:
        wildcard = ipaddress.ip_address(address).is_unspecified
    except ValueError as problem:
        raise errors.BadConfiguration(reason=f"nbd_address must be an IP address of this host, but is {address!r}") from problem
    if wildcard:
        raise errors.BadConfiguration(reason=f"nbd_address is told to clients, so it cannot be the wildcard {address}")


def listen(home: Home, known: Address | None, host: str | None, ports: Iterable[int]) -> tuple[socket.socket, Address]:
    """A listening socket for the volume's server: at the ``known`` address if there is one, else at a new one.

    Raises ObjectBusy when a known port belongs to somebody else now, NoSpace when all ports are taken.
    """
    if known is not None and known.port is not None and known.host is not None:
        _claim(home, known.port)
        return _tcp(home, known.host, known.port), known
    if known is not None or host is None:
        return _unix(home), Address(socket=str(home.nbd_socket))
    for port in ports:
        if _claim(home, port):
            try:
                return _tcp(home, host, port), Address(host=host, port=port)
            except errors.ObjectBusy:
                release(home, Address(host=host, port=port))
    raise errors.NoSpace(where="the ports from nbd_first_port to nbd_last_port", what=f"the export of volume {home.volume_id}")


def release(home: Home, address: Address | None) -> None:
    """Give the address back; repeating it is harmless."""
    if address is None:
        return
    if address.socket is not None:
        home.nbd_socket.unlink(missing_ok=True)
    elif address.port is not None and _claimant(home, address.port) == home.volume_id:
        _claim_file(home, address.port).unlink(missing_ok=True)


def connection(volume_id: str, address: Address, size_bytes: int, *, read_only: bool) -> Mapping[str, Any]:
    """The connection information of the Block Storage API for one client."""
    export = graph.export_name(volume_id, read_only=read_only)
    data: dict[str, Any] = {
        "volume_id": volume_id,
        "export": export,
        "access_mode": "ro" if read_only else "rw",
        "size_bytes": size_bytes,
        "reconnect_delay_seconds": RECONNECT_SECONDS,
        "discard": True,
        "encrypted": False,
    }
    if address.socket is not None:
        data |= {"transport": "unix", "socket": address.socket, "uri": f"nbd+unix:///{export}?socket={quote(address.socket)}"}
    else:
        host = f"[{address.host}]" if ":" in str(address.host) else address.host
        data |= {"transport": "tcp", "host": address.host, "port": address.port, "uri": f"nbd://{host}:{address.port}/{export}"}
    return {"driver_volume_type": "nbd", "data": data}


def _unix(home: Home) -> socket.socket:
    path = home.nbd_socket
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        server.bind(str(path))
        server.listen(_BACKLOG)
    except BaseException:
        server.close()
        raise
    return server


def _tcp(home: Home, host: str, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        # Connections of a former daemon may still be in TIME_WAIT.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((host, port))
        server.listen(_BACKLOG)
    except OSError as problem:
        server.close()
        if problem.errno == errno.EADDRINUSE:
            raise errors.ObjectBusy(
                what=f"address {host}:{port} of volume {home.volume_id}", reason="another program listens there"
            ) from problem
        raise errors.DriverError(reason=f"cannot listen at {host}:{port}: {problem}") from problem
    return server


def _claim_file(home: Home, port: int) -> Path:
    return home.state / "exports" / "ports" / str(port)


def _claim(home: Home, port: int) -> bool:
    """Whether ``port`` is this volume's now; atomic among all processes of the host."""
    path = _claim_file(home, port)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        path.symlink_to(home.volume_id)
    except FileExistsError:
        return _claimant(home, port) == home.volume_id
    return True


def _claimant(home: Home, port: int) -> str | None:
    try:
        return str(_claim_file(home, port).readlink())
    except FileNotFoundError:
        return None
