"""Servers in a network namespace, for guests to talk to, and a look at what arrives there.

    unshare --net --mount python3 outside.py NAME CERTIFICATE KEY

Does what the lines of standard input say, JSON each, and answers each with a line. Ends with its standard input,
whatever it does at that moment: so it, and the namespaces, are gone when the test is.

In every namespace the same servers listen on all addresses, so that whoever reaches one that must not be reached is
answered, and noted. Nothing here is checked: that is for the tests.

    TCP 80, 443  HTTP and HTTPS: /bytes/N, /md5/N, /slow/N, /endless, PUT /upload, and anything else says who answers
    TCP 7        says everything back; when the client has ended, how much that was
    TCP 8        says something and ends, then listens on, and notes how much it heard
    TCP 9        resets the connection at the first byte
    TCP 10       listens slowly, and tells the checksum of what it heard when the client has ended
    UDP 7        says everything back
    53           DNS, UDP and TCP (names.py)
"""

import asyncio
import base64
import collections
import hashlib
import http.client
import json
import os
import socket
import ssl
import struct
import sys
import threading

import names

BLOCK = 1 << 16
NOISE = hashlib.shake_128(b"outside").digest(BLOCK)
NAME = sys.argv[1]
events = []
arrived = set()
sent = collections.Counter()
taken = collections.Counter()
echoes = collections.Counter()


def note(service, stream, **more):
    local = stream.get_extra_info("sockname") or ["", 0]
    events.append({"service": service, "address": local[0], "port": local[1], **more})


def blocks(count):
    """As many bytes, no two blocks of which are alike."""
    for index in range(-(-count // BLOCK)):
        block = index.to_bytes(8, "big") + NOISE[8:]
        yield block[: count - index * BLOCK]


def checksum(count):
    md5 = hashlib.md5()
    for block in blocks(count):
        md5.update(block)
    return md5.hexdigest()


# HTTP


async def http_server(reader, writer):
    note("connection", writer)
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            tls = writer.get_extra_info("ssl_object")
            note("http", writer, path=path, host=fields.get("host"), sni=getattr(tls, "name_asked_for", None))
            await answer_http(reader, writer, method, path, fields)
            if fields.get("connection") == "close":
                break
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, ValueError):
        pass
    writer.close()


async def answer_http(reader, writer, method, path, fields):
    _, what, *number = (path + "/").split("/")
    count = int(number[0] or 0) if number else 0
    if method == "PUT":
        body = json.dumps(await upload(reader, writer, fields)).encode()
    elif what == "md5":
        body = checksum(count).encode()
    elif what == "bytes":
        begin(writer, f"Content-Length: {count}\r\n")
        for block in blocks(count):
            writer.write(block)
            await writer.drain()
            sent[path] += len(block)
        return
    elif what == "slow":
        begin(writer, f"Content-Length: {count}\r\n")
        for at in range(0, count, 1000):
            writer.write(NOISE[at : min(at + 1000, count)])
            await writer.drain()
            await asyncio.sleep(0.02)
        return
    elif what == "endless":
        return await endless(writer, path)
    else:
        address = writer.get_extra_info("sockname")[0]
        body = f"{NAME} at {address}\n".encode()
    begin(writer, f"Content-Length: {len(body)}\r\n")
    writer.write(body)
    await writer.drain()


def begin(writer, fields):
    writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode())


async def upload(reader, writer, fields):
    if fields.get("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    left, md5 = int(fields["content-length"]), hashlib.md5()
    count = left
    while left:
        heard = await reader.read(min(left, BLOCK))
        if not heard:
            raise ConnectionError
        left -= len(heard)
        md5.update(heard)
    return {"bytes": count, "md5": md5.hexdigest()}


async def endless(writer, path):
    begin(writer, "")
    try:
        while True:
            writer.write(NOISE[:16384])
            await writer.drain()
            sent[path] += 16384
            await asyncio.sleep(0.01)
    except ConnectionError as error:
        note("end of endless", writer, path=path, error=type(error).__name__)
        raise


def name_asked_for(tls, name, _context):
    tls.name_asked_for = name
    events.append({"service": "tls", "sni": name})


# Other TCP


async def say_back(reader, writer):
    echoes["now"] += 1
    echoes["most"] = max(echoes["most"], echoes["now"])
    count = 0
    try:
        while heard := await reader.read(BLOCK):
            count += len(heard)
            writer.write(heard)
            await writer.drain()
        writer.write(b"end of %d" % count)
        await writer.drain()
    except ConnectionError:
        pass
    echoes["now"] -= 1
    writer.close()


async def end_first(reader, writer):
    writer.write(b"greeting")
    writer.write_eof()
    count = 0
    try:
        while heard := await reader.read(BLOCK):
            count += len(heard)
        note("end of half", writer, bytes=count)
    except ConnectionError as error:
        note("end of half", writer, bytes=count, error=type(error).__name__)
    writer.close()


async def reset(reader, writer):
    await reader.read(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def listen_slowly(reader, writer):
    md5 = hashlib.md5()
    try:
        while heard := await reader.read(BLOCK):
            md5.update(heard)
            taken["slowly"] += len(heard)
            await asyncio.sleep(0.005)
        writer.write(md5.hexdigest().encode())
        await writer.drain()
    except ConnectionError:
        pass
    writer.close()


# UDP


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, peer):
        asyncio.ensure_future(self.reply(data, peer))

    async def reply(self, data, peer):
        answer = await self.answer(data, self.transport)
        if answer is not None:
            self.transport.sendto(answer, peer)


async def say_datagram_back(data, transport):
    note("udp", transport)
    return data


# DNS


async def answer_datagram(query, transport):
    return await names.answer(query)


async def answer_stream(reader, writer):
    try:
        while True:
            length = struct.unpack(">H", await reader.readexactly(2))[0]
            answer = await names.answer(await reader.readexactly(length), 65535)
            writer.write(struct.pack(">H", len(answer)) + answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


# What the test wants


async def serve(addresses):
    """Listens on everything, and for datagrams on each address: from another one no answer would be taken."""
    loop = asyncio.get_running_loop()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(sys.argv[2], sys.argv[3])
    tls.sni_callback = name_asked_for
    tcp = {80: http_server, 7: say_back, 8: end_first, 9: reset, 10: listen_slowly, 53: answer_stream}
    for port, server in tcp.items():
        await asyncio.start_server(server, None, port, backlog=1024)
    await asyncio.start_server(http_server, None, 443, ssl=tls)
    for address in addresses:
        await loop.create_datagram_endpoint(lambda: Datagrams(say_datagram_back), (address, 7))
        await loop.create_datagram_endpoint(lambda: Datagrams(answer_datagram), (address, 53))
    return True


def watch(device):
    """Notes which IP packets arrive from now on: for whom, which protocol, from and for which port (or ICMP type)."""
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    packets.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    packets.bind((device, 0))
    threading.Thread(target=look, args=(packets,), daemon=True).start()
    return True


def look(packets):
    while True:
        try:
            frame, (_, _, direction, *_) = packets.recvfrom(128)
        except OSError:
            return  # the device is gone, with the other namespace
        kind, packet = frame[12:14], frame[14:]
        if direction == socket.PACKET_OUTGOING:
            continue
        if kind == b"\x08\x00":
            to, protocol = socket.inet_ntop(socket.AF_INET, packet[16:20]), packet[9]
            behind = packet[(packet[0] & 15) * 4 :]
        elif kind == b"\x86\xdd":
            to, protocol = socket.inet_ntop(socket.AF_INET6, packet[24:40]), packet[6]
            behind = packet[40:]
        else:
            continue
        has_ports = protocol in (6, 17) and len(behind) >= 4
        from_port, port = struct.unpack(">HH", behind[:4]) if has_ports else (None, behind[0] if behind else None)
        arrived.add((to, protocol, from_port, port))


def get(address, port, path="/", patience=10):
    connection = http.client.HTTPConnection(address, port, timeout=patience)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        text = base64.b64encode(body[:200]).decode() if b"\0" in body[:200] else body[:200].decode("latin-1")
        return {"status": answer.status, "bytes": len(body), "md5": hashlib.md5(body).hexdigest(), "text": text}
    except (OSError, http.client.HTTPException) as error:
        return {"error": type(error).__name__}
    finally:
        connection.close()


def obey(loop):
    does = {
        "serve": lambda addresses: asyncio.run_coroutine_threadsafe(serve(addresses), loop).result(30),
        "watch": watch,
        "arrived": lambda: sorted(arrived, key=str),
        "events": lambda: events,
        "sent": lambda path: sent[path],
        "taken": lambda how: taken[how],
        "echoes": lambda: echoes,
        "get": get,
    }
    code = 1
    try:
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            what, *arguments = json.loads(line)
            print(json.dumps(does[what](*arguments)), flush=True)
        code = 0
    finally:
        os._exit(code)


async def main():
    threading.Thread(target=obey, args=(asyncio.get_running_loop(),), daemon=True).start()
    await asyncio.Event().wait()


asyncio.run(main())
