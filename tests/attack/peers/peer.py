"""A raw HTTP/2 server in the place of a spoke, which keeps to no rule: `python peer.py BEHAVIOUR SOCKET`.

It speaks just enough of RFC 9113 to get a call going and then misbehaves, for one connection after the other, until it
is killed or its alarm rings. It needs nothing but the standard library, so that nothing corrects it.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

LIFETIME_SECONDS = 20
PREFACE_BYTES = 24
DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
ACK, END_STREAM, END_HEADERS = 1, 1, 4
# :status 200, content-type application/grpc
RESPONSE_HEADERS = b"\x88\x0f\x10\x10application/grpc"
OK_TRAILERS = b"\x00\x0bgrpc-status\x010"
BEHAVIOURS: dict[str, Callable[[socket.socket], None]] = {}


def behaviour(act: Callable[[socket.socket], None]) -> Callable[[socket.socket], None]:
    BEHAVIOURS[act.__name__] = act
    return act


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(number: int, value: bytes) -> bytes:
    """Return a length-delimited protobuf field."""
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(payload: bytes) -> bytes:
    """Return a gRPC message as HTTP/2 DATA, in frames that are small enough."""
    whole = b"\0" + struct.pack(">I", len(payload)) + payload
    return b"".join(frame(DATA, 0, 1, whole[start : start + 16384]) for start in range(0, len(whole), 16384))


# RunResponse: 1 ask {1 ask_id, 3 probe}, 2 progress {1 text}, 3 result {1 result_json}; see spoke.proto.
def ask(number: int) -> bytes:
    from spokegate.v1 import spoke_pb2

    made = spoke_pb2.RunResponse(ask=spoke_pb2.Ask(ask_id=number, probe=spoke_pb2.ProbeAsk()))
    return message(made.SerializeToString())


def invoke_frame(number: int, arguments: str) -> bytes:
    from spokegate.v1 import spoke_pb2

    invoke = spoke_pb2.InvokeAsk(function="a.b", arguments_json=arguments)
    return spoke_pb2.RunResponse(ask=spoke_pb2.Ask(ask_id=number, invoke=invoke)).SerializeToString()


def progress_frame(text: str) -> bytes:
    from spokegate.v1 import spoke_pb2

    return spoke_pb2.RunResponse(progress=spoke_pb2.Progress(text=text)).SerializeToString()


def progress(text: str) -> bytes:
    return message(progress_frame(text))


def result() -> bytes:
    from spokegate.v1 import spoke_pb2

    return message(spoke_pb2.RunResponse(result=spoke_pb2.Result(result_json="{}")).SerializeToString())


def greet(end: socket.socket, window: int = 1 << 24) -> None:
    """Take the preface, exchange settings, and wait until the call has begun."""
    end.recv(PREFACE_BYTES, socket.MSG_WAITALL)
    setting = struct.pack(">HI", 4, window)
    end.sendall(
        frame(SETTINGS, 0, 0, setting) + frame(SETTINGS, ACK) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1 << 24))
    )
    seen = b""
    # The path of the call is in its headers, Huffman-coded; it is enough that a HEADERS frame of stream 1 came.
    while frame(HEADERS, END_HEADERS, 1)[3:] not in seen:
        piece = end.recv(65536)
        if not piece:
            raise ConnectionError
        seen += piece


def answer(end: socket.socket) -> None:
    greet(end)
    end.sendall(frame(HEADERS, END_HEADERS, 1, RESPONSE_HEADERS))


def drain(end: socket.socket) -> None:
    """Read what comes, without waiting for it."""
    try:
        while end.recv(1 << 16, socket.MSG_DONTWAIT):
            pass
    except BlockingIOError:
        return


class Windows:
    """What the hub lets this peer send, for one that floods and breaks no rule of flow control."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._left = [65535, 65535]  # of the connection, and of stream 1
        self._seen = b""

    def send(self, payload: bytes) -> None:
        """Send one gRPC message, as far as the windows allow at a time."""
        whole = b"\0" + struct.pack(">I", len(payload)) + payload
        while whole:
            size = min(*self._left, 16384, len(whole))
            if size <= 0:
                self._read()
                continue
            self._end.sendall(frame(DATA, 0, 1, whole[:size]))
            whole = whole[size:]
            self._left = [left - size for left in self._left]

    def _read(self) -> None:
        piece = self._end.recv(1 << 16)
        if not piece:
            raise ConnectionError
        self._seen += piece
        while len(self._seen) >= 9:
            length, kind, stream = int.from_bytes(self._seen[:3]), self._seen[3], int.from_bytes(self._seen[5:9])
            if len(self._seen) < 9 + length:
                return
            if kind == WINDOW_UPDATE:
                self._left[stream] += int.from_bytes(self._seen[9:13])
            self._seen = self._seen[9 + length :]


def hold(end: socket.socket) -> None:
    while end.recv(1 << 16):
        pass


def forever(end: socket.socket, piece: bytes) -> None:
    while True:
        end.sendall(piece)
        drain(end)


@behaviour
def silent(end: socket.socket) -> None:
    time.sleep(LIFETIME_SECONDS)


@behaviour
def greets_and_says_no_more(end: socket.socket) -> None:
    greet(end)
    hold(end)


@behaviour
def slow(end: socket.socket) -> None:
    answer(end)
    for byte in result() * 100:
        end.sendall(bytes([byte]))
        time.sleep(0.1)


@behaviour
def never_reading(end: socket.socket) -> None:
    answer(end)
    time.sleep(LIFETIME_SECONDS)


@behaviour
def closes_at_once(end: socket.socket) -> None:
    return


@behaviour
def garbage(end: socket.socket) -> None:
    forever(end, random.Random(1).randbytes(1 << 16))


@behaviour
def garbage_in_frames(end: socket.socket) -> None:
    answer(end)
    noise = random.Random(2)
    while True:
        end.sendall(frame(noise.randrange(12), noise.randrange(256), noise.randrange(3), noise.randbytes(64)))
        drain(end)


@behaviour
def garbage_as_message(end: socket.socket) -> None:
    answer(end)
    forever(end, message(random.Random(3).randbytes(1024)))


@behaviour
def giant_length_prefix(end: socket.socket) -> None:
    answer(end)
    end.sendall(frame(DATA, 0, 1, b"\0" + struct.pack(">I", 1 << 30) + bytes(1000)))
    forever(end, frame(DATA, 0, 1, bytes(16384)))


@behaviour
def giant_frame(end: socket.socket) -> None:
    answer(end)
    end.sendall(b"\xff\xff\xff" + bytes([DATA, 0]) + struct.pack(">I", 1))
    forever(end, bytes(1 << 16))


@behaviour
def endless_continuation(end: socket.socket) -> None:
    greet(end)
    end.sendall(frame(HEADERS, 0, 1, RESPONSE_HEADERS))
    # A literal header without indexing: x: 1
    forever(end, frame(CONTINUATION, 0, 1, b"\x00\x01x\x011" * 1000))


@behaviour
def endless_header(end: socket.socket) -> None:
    greet(end)
    end.sendall(frame(HEADERS, 0, 1, RESPONSE_HEADERS + b"\x00\x01x\x7f\xff\xff\xff\x7f"))
    forever(end, frame(CONTINUATION, 0, 1, b"a" * 16384))


@behaviour
def ping_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(PING, 0, 0, bytes(8)) * 64)


@behaviour
def ping_flood_without_reading(end: socket.socket) -> None:
    answer(end)
    while True:
        end.sendall(frame(PING, 0, 0, bytes(8)) * 64)


@behaviour
def settings_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(SETTINGS, 0, 0, struct.pack(">HI", 3, 100)) * 64)


@behaviour
def window_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 64)


@behaviour
def empty_data_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(DATA, 0, 1) * 64)


@behaviour
def reset(end: socket.socket) -> None:
    answer(end)
    end.sendall(frame(RST, 0, 1, struct.pack(">I", 2)))
    hold(end)


@behaviour
def goes_away(end: socket.socket) -> None:
    greet(end)
    end.sendall(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 2)))


@behaviour
def thousands_of_asks(end: socket.socket) -> None:
    answer(end)
    end.sendall(b"".join(ask(number) for number in range(1, 5001)))
    hold(end)


@behaviour
def asks_one_by_one_without_end(end: socket.socket) -> None:
    answer(end)
    for number in range(1, 1 << 20):
        end.sendall(ask(number))
        end.recv(1 << 16)


@behaviour
def same_ask_twice(end: socket.socket) -> None:
    answer(end)
    end.sendall(ask(1) + ask(1))
    hold(end)


@behaviour
def progress_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, progress("x" * 1024))


@behaviour
def large_progress_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, progress("x" * ((2 << 20) - 1000)))


@behaviour
def progress_flood_within_the_windows(end: socket.socket) -> None:
    answer(end)
    windows = Windows(end)
    while True:
        windows.send(progress_frame("x" * 1024))


@behaviour
def large_progress_within_the_windows(end: socket.socket) -> None:
    answer(end)
    Windows(end).send(progress_frame("x" * ((2 << 20) - 1000)))
    hold(end)


@behaviour
def large_asks_within_the_windows(end: socket.socket) -> None:
    answer(end)
    windows = Windows(end)
    for number in range(1, 1 << 20):
        windows.send(invoke_frame(number, "x" * (1 << 20)))


@behaviour
def flood_after_the_result(end: socket.socket) -> None:
    answer(end)
    end.sendall(result() + frame(HEADERS, END_STREAM | END_HEADERS, 1, OK_TRAILERS))
    forever(end, frame(PING, 0, 0, bytes(8)) * 64)


@behaviour
def tiny_data(end: socket.socket) -> None:
    answer(end)
    end.sendall(frame(DATA, 0, 1, b"\0" + struct.pack(">I", 1 << 20)))
    forever(end, frame(DATA, 0, 1, b"x") * 64)


@behaviour
def data_for_no_stream(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(DATA, 0, 99, bytes(16384)))


@behaviour
def priority_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 16)) * 64)


@behaviour
def unknown_frame_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(0xEE, 0, 0) * 1024)


@behaviour
def reset_flood(end: socket.socket) -> None:
    answer(end)
    forever(end, frame(RST, 0, 99, struct.pack(">I", 2)) * 64)


@behaviour
def pings_one_by_one(end: socket.socket) -> None:
    answer(end)
    while True:
        end.sendall(frame(PING, 0, 0, bytes(8)))
        end.recv(1 << 16)


@behaviour
def pings_between_messages(end: socket.socket) -> None:
    """Earn with each message what the next PING costs, and make all of them as dear as they can be."""
    answer(end)
    windows = Windows(end)
    for number in range(1, 1 << 20):
        windows.send(invoke_frame(number, "{}") if number <= 900 else progress_frame("x"))
        end.sendall(frame(PING, 0, 0, bytes(8)))
        time.sleep(0.0002)


@behaviour
def tiny_windows(end: socket.socket) -> None:
    """Let the hub send its long arguments byte by byte."""
    greet(end, window=1)
    forever(end, (frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) + frame(WINDOW_UPDATE, 0, 1, struct.pack(">I", 1))))


@behaviour
def result_twice(end: socket.socket) -> None:
    answer(end)
    end.sendall(result() + result())
    hold(end)


@behaviour
def result_and_no_end(end: socket.socket) -> None:
    answer(end)
    end.sendall(result())
    hold(end)


@behaviour
def empty_frame(end: socket.socket) -> None:
    answer(end)
    end.sendall(message(b""))
    hold(end)


@behaviour
def message_before_headers(end: socket.socket) -> None:
    greet(end)
    end.sendall(result())
    hold(end)


@behaviour
def descriptors(end: socket.socket) -> None:
    """Send open descriptors along with everything: they must not pile up in the hub."""
    greet(end)
    end.sendall(frame(HEADERS, END_HEADERS, 1, RESPONSE_HEADERS))
    for _ in range(100):
        socket.send_fds(end, [frame(PING, 0, 0, bytes(8))], [0] * 100)
        drain(end)
    hold(end)


def main() -> None:
    act, path = BEHAVIOURS[sys.argv[1]], sys.argv[2]
    signal.alarm(LIFETIME_SECONDS)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.write(1, b"ready\n")
        while True:
            end, _ = listener.accept()
            with end:
                try:
                    act(end)
                except OSError:
                    continue


if __name__ == "__main__":
    main()
