"""WebSocket frames (RFC 6455, 5): bytes in, messages out, and back.

`channel.py` feeds it whatever comes; cut anywhere, it costs linear time. One read may hold forty thousand
frames: after so many it stops, for there are others on the loop, so that it holds a message at most and the
unread rest of one read.
It is as strict as the standard wants a server to be: what is not masked, not UTF-8, out of turn or too
long is `Malformed` and ends the connection. It knows no extension, no clock and no socket.
"""

from collections.abc import Mapping
from enum import IntEnum

from msgspec import Struct

from proxy.server.pieces import PIECES_MOST, Pieces, fold

NORMAL, GOING_AWAY, PROTOCOL_ERROR, UNSUPPORTED = 1000, 1001, 1002, 1003
NO_CODE, NOT_UTF8, POLICY, TOO_BIG = 1005, 1007, 1008, 1009

CONTROL_BYTES = 125
FRAMES_AT_ONCE = 256
"""One to three milliseconds of work, and more than any caller has to say in one read."""
_SIZE_BYTES: Mapping[int, int] = {126: 2, 127: 8}
_SAID = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})
"""Codes that may be sent in a close frame (RFC 6455, 7.4; the registry at IANA)."""


class Op(IntEnum):
    """What a frame is."""

    MORE = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_OPS = frozenset(Op)


class Message(Struct, frozen=True):
    """A whole message, or a control frame."""

    op: Op
    data: bytes


class Malformed(Exception):
    """What came is no WebSocket, or more of one than is taken."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Frame(Struct):
    """A frame whose payload is coming in."""

    op: Op
    last: bool
    mask: bytes
    left: int
    """Bytes that are still to come."""


class Assembler:
    """Puts the messages of one connection together."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._head = bytearray()
        """What came of the next frame's head."""
        self._frame: _Frame | None = None
        self._op: Op | None = None
        """Of the message that is coming in; None between two."""
        self._pieces: Pieces = []
        self._size = 0
        self._control = b""
        self._unread = b""

    @property
    def halfway(self) -> bool:
        """Whether something has begun that is not whole."""
        return self._op is not None or self._frame is not None or bool(self._head)

    @property
    def behind(self) -> bool:
        """Whether it stopped before the end of what came: `feed` it nothing to have it go on."""
        return bool(self._unread)

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, as far as it is read at once.

        Raises `Malformed`, and is of no use any more then.
        """
        if self._unread:
            data = self._unread + data
        found: list[Message] = []
        at = frames = 0
        while at < len(data) or (self._frame is not None and not self._frame.left):
            if frames == FRAMES_AT_ONCE:
                break
            if self._frame is None:
                at = self._begin(data, at)
                continue
            frame = self._frame
            piece = data[at : at + frame.left]
            at += len(piece)
            self._take(frame, piece)
            if not frame.left:
                self._frame = None
                frames += 1
                message = self._ended(frame)
                if message is not None:
                    found.append(message)
        self._unread = data[at:]
        return found

    def _begin(self, data: bytes, at: int) -> int:
        """Read on in a frame's head; how far that came."""
        head = self._head
        while True:
            needed = _head_bytes(head)
            if len(head) == needed:
                break
            more = data[at : at + needed - len(head)]
            if not more:
                return at
            head += more
            at += len(more)
        self._frame = self._judged(bytes(head))
        head.clear()
        return at

    def _judged(self, head: bytes) -> _Frame:
        """The frame that `head` begins, if it may come now."""
        last, code, size = bool(head[0] & 0x80), head[0] & 0x0F, head[1] & 0x7F
        if head[0] & 0x70 or code not in _OPS:
            raise Malformed(PROTOCOL_ERROR, "a frame of an unknown kind")
        if not head[1] & 0x80:
            raise Malformed(PROTOCOL_ERROR, "a frame that is not masked")
        if size in _SIZE_BYTES:
            size = int.from_bytes(head[2 : 2 + _SIZE_BYTES[size]])
        op = Op(code)
        if op >= Op.CLOSE:
            if not last or size > CONTROL_BYTES:
                raise Malformed(PROTOCOL_ERROR, "a control frame that is too long or cut")
        else:
            if (op is Op.MORE) is (self._op is None):
                raise Malformed(PROTOCOL_ERROR, "a frame out of turn")
            if op is not Op.MORE:
                self._op = op
            self._size += size
            if self._size > self._most:
                raise Malformed(TOO_BIG, f"a message of more than {self._most} bytes")
        return _Frame(op, last, head[-4:], size)

    def _take(self, frame: _Frame, piece: bytes) -> None:
        if not piece:
            return
        plain = unmasked(piece, frame.mask)
        frame.left -= len(piece)
        turn = len(piece) % 4
        frame.mask = frame.mask[turn:] + frame.mask[:turn]
        if frame.op >= Op.CLOSE:
            self._control += plain
        else:
            self._pieces.append(plain)
            if len(self._pieces) > PIECES_MOST:
                fold(self._pieces)

    def _ended(self, frame: _Frame) -> Message | None:
        if frame.op >= Op.CLOSE:
            data, self._control = self._control, b""
            return Message(frame.op, data)
        if not frame.last or self._op is None:
            return None
        op, pieces = self._op, self._pieces
        self._op, self._pieces, self._size = None, [], 0
        data = b"".join(pieces)  # which copies nothing where there is one
        if op is Op.TEXT:
            _demand_utf8(data)
        return Message(op, data)


def frame(op: Op, data: bytes) -> bytes:
    """One whole frame as a server sends it."""
    size = len(data)
    if size < 126:
        return bytes((0x80 | op, size)) + data
    if size < 1 << 16:
        return bytes((0x80 | op, 126)) + size.to_bytes(2) + data
    return bytes((0x80 | op, 127)) + size.to_bytes(8) + data


def closing(code: int, reason: str = "") -> bytes:
    """A close frame."""
    return frame(Op.CLOSE, code.to_bytes(2) + reason.encode()[: CONTROL_BYTES - 2])


def code_of(data: bytes) -> int:
    """The code in a close frame's payload; `NO_CODE` where there is none. Raises `Malformed`."""
    if not data:
        return NO_CODE
    code = int.from_bytes(data[:2])
    if len(data) < 2 or code not in _SAID:
        raise Malformed(PROTOCOL_ERROR, "a close frame with a code that is none")
    _demand_utf8(data[2:])
    return code


def unmasked(data: bytes, mask: bytes) -> bytes:
    """`data` with every byte crossed with the mask's: as one long number, which is fast."""
    size = len(data)
    long = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(long, "little")).to_bytes(size, "little")


def _head_bytes(head: bytes | bytearray) -> int:
    """How long a head is that begins so, as far as can be told."""
    if len(head) < 2:
        return 2
    return 2 + _SIZE_BYTES.get(head[1] & 0x7F, 0) + 4 * bool(head[1] & 0x80)


def _demand_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise Malformed(NOT_UTF8, "a text that is not UTF-8") from None
