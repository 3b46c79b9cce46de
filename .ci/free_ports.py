"""Prints two ports on loopback that nothing listens on."""

import socket

with socket.socket() as one, socket.socket() as other:
    one.bind(("127.0.0.1", 0))
    other.bind(("127.0.0.1", 0))
    print(one.getsockname()[1], other.getsockname()[1])
