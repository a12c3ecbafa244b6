"""What a guest tries. Reads a list of attempts, JSON, from standard input, makes several at once, and prints a list of
what came of each: an `outcome` in a word or two, `seconds`, and what else there is to say.
"""

import asyncio
import concurrent.futures
import errno
import hashlib
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

PATIENCE = 30
# More would wait for each other, and a processor that is emulated.
AT_ONCE = 16
KINDS = {"A": 1, "CNAME": 5, "TXT": 16, "AAAA": 28}


def name_of(error):
    """A word for what went wrong."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return {socket.EAI_NONAME: "no such name", socket.EAI_NODATA: "no such name"}.get(error.errno, str(error))
    if isinstance(error, ssl.SSLError):
        return f"tls {error.reason}"
    return errno.errorcode.get(error.errno, str(error)) if isinstance(error, OSError) else repr(error)


def request(host, path="/", close=True):
    end = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{end}\r\n".encode()


def answer(stream):
    """Status and body of one answer, which says its length."""
    said = stream.makefile("rb")
    status = said.readline().split(b" ")
    if len(status) < 2:
        return "end", b""
    length = 0
    while (line := said.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return status[1].decode(), said.read(length)


# Attempts


def tcp(to, host=None):
    """Asks who is there."""
    with socket.create_connection(to, PATIENCE) as stream:
        stream.sendall(request(host or to[0]))
        status, body = answer(stream)
        return {"outcome": status, "said": body.decode("latin-1").strip()}


def http(to, hosts):
    """One request after another on one connection."""
    outcomes = []
    with socket.create_connection(to, PATIENCE) as stream:
        for host in hosts:
            try:
                stream.sendall(request(host, close=False))
                outcomes.append(answer(stream)[0])
            except OSError as error:
                outcomes.append(name_of(error))
                break
    return {"outcome": " ".join(outcomes)}


def tls(to, sni=None, host=None, verify=False):
    context = ssl.create_default_context(cafile="/root/outside.pem")
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(to, PATIENCE) as stream:
        with context.wrap_socket(stream, server_hostname=sni) as stream:
            stream.sendall(request(host or sni or to[0]))
            status, body = answer(stream)
            return {"outcome": status, "said": body.decode("latin-1").strip()}


def connect(to):
    with socket.create_connection(to, PATIENCE):
        return {"outcome": "connected"}


def say(to, words):
    """Says this and nothing else, and hears what comes."""
    with socket.create_connection(to, PATIENCE) as stream:
        stream.sendall(words.encode("latin-1"))
        return {"outcome": "answered" if stream.recv(1000) else "end"}


def dns(server, name, kind="A", over="udp"):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 4711, 0x100, 1, 0, 0, 0) + labels + struct.pack(">BHH", 0, KINDS[kind], 1)
    type = socket.SOCK_DGRAM if over == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, type) as stream:
        stream.settimeout(PATIENCE)
        stream.connect((server, 53))
        if over == "udp":
            stream.send(query)
            reply = stream.recv(65535)
        else:
            stream.sendall(struct.pack(">H", len(query)) + query)
            said = stream.makefile("rb")
            reply = said.read(struct.unpack(">H", said.read(2))[0])
    ident, flags, _, count, _, _ = struct.unpack(">6H", reply[:12])
    assert ident == 4711 and flags & 0x8000, reply
    codes = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
    outcome = "TRUNCATED" if flags & 0x200 else codes[flags & 15]
    return {"outcome": outcome, "answers": answers(reply, len(query), count), "bytes": len(reply)}


def answers(reply, at, count):
    found = []
    for _ in range(count):
        while reply[at] and reply[at] < 192:
            at += 1 + reply[at]
        at += 2 if reply[at] else 1
        kind, _, _, length = struct.unpack(">HHIH", reply[at : at + 10])
        data = reply[at + 10 : at + 10 + length]
        if kind in (1, 28):
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
        at += 10 + length
    return sorted(found)


def look_up(name):
    """As programs do."""
    return {"outcome": "found", "answers": sorted({info[4][0] for info in socket.getaddrinfo(name, 80)})}


def udp(to, patience=4):
    family, _, _, _, address = socket.getaddrinfo(*to, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        stream.settimeout(patience)
        stream.connect(address)
        stream.send(b"hello")
        return {"outcome": "answered" if stream.recv(100) == b"hello" else "something else"}


def ping(to, size=56):
    done = subprocess.run(["ping", "-n", "-c", "1", "-s", str(size), "-W", "4", to], capture_output=True, text=True)
    said = done.stdout + done.stderr
    refused = any(word in said for word in ["filtered", "prohibited", "nreachable", "not permitted", "Invalid"])
    return {"outcome": "answered" if done.returncode == 0 else "refused" if refused else "silence", "said": said}


def end_first(to):
    """Says its last before the server has said all."""
    data = os.urandom(300_000)
    with socket.create_connection(to, PATIENCE) as stream:
        said = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
        said.start()
        heard = stream.makefile("rb").read()
        said.join()
    return {"outcome": "whole" if heard == data + b"end of 300000" else f"{len(heard)} bytes"}


def speak_last(to):
    """Says most after the server has said its last."""
    with socket.create_connection(to, PATIENCE) as stream:
        heard = stream.makefile("rb").read()
        for _ in range(10):
            stream.sendall(bytes(30_000))
            time.sleep(0.05)
    return {"outcome": heard.decode()}


def upload(to, count):
    """To one who listens slowly."""
    data = os.urandom(count)
    with socket.create_connection(to, PATIENCE) as stream:
        stream.sendall(data)
        stream.shutdown(socket.SHUT_WR)
        heard = stream.makefile("rb").read().decode()
    return {"outcome": "whole" if heard == hashlib.md5(data).hexdigest() else f"said {heard!r}"}


def listen_late(to, path, until):
    """Asks for something, and takes it slowly, but none of it until there is a file."""
    with socket.create_connection(to, PATIENCE) as stream:
        stream.sendall(request(to[0], path))
        while not os.path.exists(until):
            time.sleep(0.02)
        said, md5 = stream.makefile("rb", 65536), hashlib.md5()
        while said.readline() != b"\r\n":
            pass
        while heard := said.read(262144):
            md5.update(heard)
            time.sleep(0.005)
        return {"outcome": md5.hexdigest()}


def many(to, count):
    """As many connections at once, each of which is told its own."""
    return {"outcome": asyncio.run(crowd(to, count))}


async def crowd(to, count):
    """All have said and heard something before the first is closed."""
    everybody = asyncio.Barrier(count) if hasattr(asyncio, "Barrier") else None
    assert everybody, "this needs Python 3.11"

    async def one(number):
        reader, writer = await asyncio.open_connection(*to)
        for turn in range(2):
            told = b"%d of %d;" % (number, turn) * 40
            writer.write(told)
            if await reader.readexactly(len(told)) != told:
                return False
            await everybody.wait()
        writer.write_eof()
        end = await reader.read()
        writer.close()
        return end.startswith(b"end of ")

    done = await asyncio.gather(*(one(number) for number in range(count)), return_exceptions=True)
    wrong = [repr(it) for it in done if it is not True]
    return "all" if not wrong else f"{len(wrong)} not, the first: {wrong[0]}"


def make(attempt):
    what = dict(attempt)
    begun = time.monotonic()
    try:
        result = globals()[what.pop("try")](**what)
    except Exception as error:
        result = {"outcome": name_of(error)}
    return {**result, "seconds": time.monotonic() - begun}


with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as threads:
    print(json.dumps(list(threads.map(make, json.load(sys.stdin)))))
