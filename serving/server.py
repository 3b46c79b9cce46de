"""`python -m serving.server`: the endpoint, by several workers on one port, until Ctrl-C or SIGTERM.

What is wrong with port, settings or keys is said before anything slow is imported.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence

from serving import logs
from serving.admission import is_loopback
from serving.key_ring import KeyFileError, keys_path, read_keys
from serving.loads import BYTES, MOST_WORKERS
from serving.settings import SettingError, check_environment, number
from serving.supervisor import Supervisor


def main(arguments: Sequence[str] | None = None) -> int:
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_, lambda *_: sys.exit(0))  # nothing has begun yet
    options = _options(arguments)
    try:
        check_environment(os.environ)
        workers = number("--workers", options.workers, 1, MOST_WORKERS)
        _check_keys([options.host, *([options.admin_host] if options.admin_port else [])])
        listener = _listen("--port", options.host, options.port)
        admin = _listen("--admin-port", options.admin_host, options.admin_port) if options.admin_port else None
    except (SettingError, KeyFileError) as error:
        print(f"serving.server: {error}", file=sys.stderr)
        return 2
    logs.start()
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    return asyncio.run(_serve(listener, workers, admin))


async def _serve(listener: socket.socket, workers: int, admin: socket.socket | None) -> int:
    async def admin_pages(supervisor: Supervisor) -> None:
        from serving.admin import serve_admin  # what it imports would delay the workers' start

        assert admin is not None
        await serve_admin(admin, supervisor)

    with tempfile.TemporaryFile() as shared:
        shared.truncate(BYTES)
        return await Supervisor(listener, workers, shared.fileno(), [admin_pages] if admin else []).run()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m serving.server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; a public one needs API keys")
    parser.add_argument("--port", default="3000", help="0 for any that is free")
    parser.add_argument("--workers", default=str(os.cpu_count() or 1), help="processes; as many as cores unless said")
    parser.add_argument("--admin-host", default="127.0.0.1", help="address of the pages for operators")
    parser.add_argument("--admin-port", help="port of the pages for operators; without it there are none")
    return parser.parse_args(arguments)


def _check_keys(hosts: Sequence[str]) -> None:
    """Raises for a file of keys that can't be read, and for a public address without keys."""
    try:
        keys = read_keys(keys_path())
    except FileNotFoundError:
        keys = ()
    for host in hosts:
        if not keys and not is_loopback(host):
            raise SettingError(
                f"the address {host!r} is not loopback, and there are no API keys in {keys_path()}: anybody could ask. "
                f"Make one (python -m serving.keys new NAME), or listen on 127.0.0.1"
            )


def _listen(name: str, host: str, port: str) -> socket.socket:
    """A listening socket; raises SettingError where there can be none."""
    wanted = number(name, port, 0, 65535)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise SettingError(
            f"{name} is {wanted} on {host!r}, and nothing can listen there: {error.strerror}. "
            f"Stop what listens there, or choose another port or address"
        ) from error
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    sys.exit(main())
