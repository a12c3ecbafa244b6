"""The name server of the outside: its names, and answers to questions about them (RFC 1035)."""

import asyncio
import collections
import socket
import struct

KINDS = {"A": 1, "CNAME": 5, "TXT": 16, "AAAA": 28}
WEB = {"A": ["203.0.113.5"], "AAAA": ["2001:db8:2::5"]}
ZONE = {
    "web.example": WEB,
    "other.example": WEB,
    "www.web.example": WEB,
    "alias.example": {"CNAME": "web.example"},
    "shop.example": {"A": ["203.0.113.6"]},
    "api.shop.example": {"A": ["203.0.113.6"]},
    "v6.example": {"AAAA": ["2001:db8:2::6"]},
    "nobody.example": {"A": ["203.0.113.99"]},
    "text.example": {"TXT": ["said"]},
    "long.example": {"TXT": ["x" * 250] * 40},
    "slow.example": {"A": ["203.0.113.5"], "delay": 1.5},
    "never.example": {"delay": 10000},
    # To be refused.
    "loop.example": {"A": ["127.0.0.1"]},
    "loop6.example": {"AAAA": ["::1"]},
    "mapped.example": {"AAAA": ["::ffff:127.0.0.1"]},
    "nat64.example": {"AAAA": ["64:ff9b::7f00:1"]},
    "zero.example": {"A": ["0.0.0.0"]},
    "chain.example": {"CNAME": "link.example"},
    "link.example": {"CNAME": "loop.example"},
    "mixed.example": {"A": ["127.0.0.1", "203.0.113.5"]},
    "private.example": {"A": ["10.9.8.7"]},
    "metadata.example": {"A": ["169.254.169.254"], "AAAA": ["fd00:ec2::254"]},
    "own.example": {"A": ["198.51.100.2"], "AAAA": ["2001:db8:1::2"]},
    "gateway.example": {"A": ["100.96.0.1"], "AAAA": ["fd70:7972:6f00::1"]},
}
# The first answer is that of web.example, every other one this.
REBINDING = {
    "rebind-loop.example": "127.0.0.1",
    "rebind-private.example": "10.9.8.7",
    "rebind-metadata.example": "169.254.169.254",
    "rebind-own.example": "198.51.100.2",
    "rebind-loop6.example": "::1",
    "rebind-mapped.example": "::ffff:127.0.0.1",
}
asked = collections.Counter()


def zone(name, kind):
    """What there is of a name."""
    if name not in REBINDING:
        return ZONE.get(name)
    asked[name, kind] += 1
    if asked[name, kind] == 1:
        return WEB
    address = REBINDING[name]
    return {"AAAA" if ":" in address else "A": [address]}


def dns_name(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def dns_data(kind, value):
    if kind == "TXT":
        return bytes([len(value)]) + value.encode()
    if kind == "CNAME":
        return dns_name(value)
    return socket.inet_pton(socket.AF_INET6 if kind == "AAAA" else socket.AF_INET, value)


def dns_records(name, kind):
    """The answers to a question, or None if there is no such name, and after how long they come."""
    answers, delay = b"", 0
    while (entry := zone(name, kind)) is not None:
        delay = entry.get("delay", delay)
        is_alias = "CNAME" in entry
        found = "CNAME" if is_alias else kind
        for value in [entry["CNAME"]] if is_alias else entry.get(kind, []):
            data = dns_data(found, value)
            answers += dns_name(name) + struct.pack(">HHIH", KINDS[found], 1, 0, len(data)) + data
        if not is_alias:
            return answers, delay
        name = entry["CNAME"]
    return None, delay


async def answer(query, most=None):
    """Answers one message. `most`: as long an answer may be; None: as the query says."""
    ident, _, _, _, _, more = struct.unpack(">6H", query[:12])
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
    number, end = struct.unpack(">H", query[at + 1 : at + 3])[0], at + 5
    name, kind = ".".join(labels), next((kind for kind in KINDS if KINDS[kind] == number), "other")
    answers, delay = dns_records(name, kind)
    await asyncio.sleep(delay)
    has_edns = more and query[end : end + 3] == b"\0\0\x29"
    most = most or (struct.unpack(">H", query[end + 3 : end + 5])[0] if has_edns else 512)
    flags, count = 0x8180, 0
    if answers is None:
        flags, answers = flags | 3, b""
    count = sum(1 for _ in split_records(answers))
    if end + len(answers) > most:
        flags, answers, count = flags | 0x200, b"", 0
    return struct.pack(">6H", ident, flags, 1, count, 0, 0) + query[12:end] + answers


def split_records(answers):
    at = 0
    while at < len(answers):
        while answers[at]:
            at += 1 + answers[at]
        at += 11 + struct.unpack(">H", answers[at + 9 : at + 11])[0]
        yield at
