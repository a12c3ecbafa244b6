# What bytes of TCP cost in the guest: over its own loopback, from the host, to the host. Prints megabytes a second.
import socket
import sys
import threading
import time

BUFFER = bytearray(256 * 1024)


def take(connection, expected):
    """Reads until the other end has said its last."""
    n_bytes = 0
    while n := connection.recv_into(BUFFER):
        n_bytes += n
    if n_bytes != expected:
        sys.exit(f"{n_bytes} of {expected} bytes came")


def give(connection, n_bytes):
    piece = bytes(256 * 1024)
    for _ in range(n_bytes // len(piece)):
        connection.sendall(piece)
    connection.shutdown(socket.SHUT_WR)


def loopback(n_bytes):
    """One connection to itself: both ends are this guest's."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as sender:
        receiver, _ = server.accept()
        begun = time.perf_counter()
        sending = threading.Thread(target=give, args=(sender, n_bytes))
        sending.start()
        take(receiver, n_bytes)
        sending.join()
        return time.perf_counter() - begun


def download(address, n_bytes):
    with socket.create_connection(address) as connection:
        begun = time.perf_counter()
        connection.sendall(b"d")
        take(connection, n_bytes)
        return time.perf_counter() - begun


def upload(address, n_bytes):
    with socket.create_connection(address) as connection:
        begun = time.perf_counter()
        connection.sendall(b"u")
        give(connection, n_bytes)
        if connection.recv(1) != b"!":  # what the host says when it has all
            sys.exit("the host did not get all")
        return time.perf_counter() - begun


def connects(address, count):
    """Seconds that so many connections take, one after the other."""
    begun = time.perf_counter()
    for _ in range(count):
        socket.create_connection(address).close()
    return time.perf_counter() - begun


what, n_bytes = sys.argv[1], int(sys.argv[2])
address = (sys.argv[3], int(sys.argv[4])) if len(sys.argv) > 3 else None
if what == "loopback":
    print(n_bytes / loopback(n_bytes) / 1e6)
elif what == "download":
    print(n_bytes / download(address, n_bytes) / 1e6)
elif what == "upload":
    print(n_bytes / upload(address, n_bytes) / 1e6)
else:
    print(connects(address, n_bytes) / n_bytes * 1e3)
