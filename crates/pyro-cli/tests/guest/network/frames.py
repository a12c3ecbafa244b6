"""Frames as no kernel sends them. Reads a list of packets, JSON, from standard input, sends each in a frame, and prints
a list of what came back for each: `SYN+ACK`, `RST`, `reply`, `ICMP type/code`, or `nothing`.

A packet: `to` an address, `over` tcp, udp, icmp, or a number for a protocol; `port`; and where it is to be odd:
`source`, an address; `mac` and `to_mac`, of the frame; `options`, of IPv4, or `headers`, of IPv6, in hex; `fragments`;
`vlan`; `inside`, another packet that this one carries.
"""

import json
import socket
import struct
import sys
import time

DEVICE = "eth0"
GUEST = {4: "100.96.0.2", 6: "fd70:7972:6f00::2"}
GATEWAY_MAC = "525400707901"
FIRST_PORT = 20000
PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "icmp6": 58}
LISTEN_SECONDS = 2


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def transport(packet, number, source, to):
    """What is behind the header of IP, and its protocol."""
    over, port = packet.get("over", "tcp"), packet.get("port", 80)
    if isinstance(over, int):
        return over, ip(packet["inside"], number) if "inside" in packet else b"\0" * 16
    ours, protocol = FIRST_PORT + number, PROTOCOLS[over]
    if over == "tcp":
        data, at = struct.pack(">HHIIBBHHH", ours, port, 4711, 0, 5 << 4, 2, 65535, 0, 0), 16
    elif over == "udp":
        data, at = struct.pack(">HHHH", ours, port, 13, 0) + b"hello", 6
    else:
        data, at = struct.pack(">BBHHH", 8 if over == "icmp" else 128, 0, 0, ours, 1) + b"hello", 2
    if over == "icmp":
        pseudo = b""
    elif len(to) == 4:
        pseudo = source + to + struct.pack(">BBH", 0, protocol, len(data))
    else:
        pseudo = source + to + struct.pack(">IHBB", len(data), 0, 0, protocol)
    return protocol, data[:at] + struct.pack(">H", checksum(pseudo + data)) + data[at + 2 :]


def ip(packet, number):
    version = 6 if ":" in packet["to"] else 4
    source, to = packed(packet.get("source", GUEST[version])), packed(packet["to"])
    protocol, data = transport(packet, number, source, to)
    if version == 6:
        headers = bytes.fromhex(packet.get("headers", ""))
        first, behind = (headers[0], headers[1:]) if headers else (protocol, b"")
        behind = behind.replace(b"\xff", bytes([protocol]), 1)
        return struct.pack(">IHBB", 6 << 28, len(behind + data), first, 64) + source + to + behind + data
    return ip4(source, to, protocol, data, bytes.fromhex(packet.get("options", "")))


def ip4(source, to, protocol, data, options=b"", fragment=0):
    words = 5 + len(options) // 4
    header = struct.pack(">BBHHHBBH", 4 << 4 | words, 0, words * 4 + len(data), 4711, fragment, 64, protocol, 0)
    header += source + to + options
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + data


def in_pieces(packet):
    """The same packet in two fragments, the first of 8 bytes."""
    source, to, protocol, data = packet[12:16], packet[16:20], packet[9], packet[20:]
    return [ip4(source, to, protocol, data[:8], fragment=0x2000), ip4(source, to, protocol, data[8:], fragment=1)]


def frames(packet, number, own_mac):
    whole = ip(packet, number)
    kind = b"\x86\xdd" if whole[0] >> 4 == 6 else b"\x08\x00"
    if packet.get("vlan"):
        kind = b"\x81\x00\x00\x01" + kind
    macs = bytes.fromhex(packet.get("to_mac", GATEWAY_MAC)) + bytes.fromhex(packet.get("mac", own_mac.hex()))
    return [macs + kind + piece for piece in (in_pieces(whole) if packet.get("fragments") else [whole])]


def heard(frame):
    """For which packet something came, and what it was."""
    kind, packet = frame[12:14], frame[14:]
    if kind == b"\x08\x00":
        protocol, data = packet[9], packet[(packet[0] & 15) * 4 :]
    elif kind == b"\x86\xdd":
        protocol, data = packet[6], packet[40:]
    else:
        return None, None
    if protocol == 6:
        flags = data[13]
        word = "RST" if flags & 4 else "SYN+ACK" if flags & 0x12 == 0x12 else "segment"
        return struct.unpack(">H", data[2:4])[0] - FIRST_PORT, word
    if protocol == 17:
        return struct.unpack(">H", data[2:4])[0] - FIRST_PORT, "reply"
    if protocol in (1, 58):
        if data[0] in (0, 129):
            return struct.unpack(">H", data[4:6])[0] - FIRST_PORT, "reply"
        quoted = data[8:]
        if quoted and quoted[0] >> 4 == 4:
            behind, is_echo = quoted[(quoted[0] & 15) * 4 :], quoted[9:10] == b"\x01"
        else:
            behind, is_echo = quoted[40:], quoted[6:7] == b"\x3a"
        at = 4 if is_echo else 0
        if len(behind) >= at + 2:
            return struct.unpack(">H", behind[at : at + 2])[0] - FIRST_PORT, f"ICMP {data[0]}/{data[1]}"
    return None, None


packets = json.load(sys.stdin)
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((DEVICE, 0))
own_mac = wire.getsockname()[4]
for number, packet in enumerate(packets):
    for frame in frames(packet, number, own_mac):
        wire.send(frame)
outcomes = ["nothing"] * len(packets)
until = time.monotonic() + LISTEN_SECONDS
while (left := until - time.monotonic()) > 0:
    wire.settimeout(left)
    try:
        frame, (_, _, direction, *_) = wire.recvfrom(65535)
    except TimeoutError:
        break
    number, word = heard(frame) if direction != socket.PACKET_OUTGOING else (None, None)
    if number is not None and 0 <= number < len(outcomes):
        outcomes[number] = word
print(json.dumps(outcomes))
