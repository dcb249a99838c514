"""What comes in pieces, kept in no more memory than it is long, and in no more of it at a time than is fair.

`request.py` and `frames.py` keep bodies and messages as a list of what came: most come in one piece, or in
a few large ones, which are joined once. A sender may cut them into pieces of two bytes, each an object of
forty; such a list is folded now and then. `connection.py` and `channel.py` ask it how much of one sender is
read before others have their turn. It looks at no byte.
"""

MUCH_BYTES = 64 * 1024
"""After a read of so much others have their turn. It may hold ten thousand chunks, and the loop would read on
at once: 8 MB of one connection before it looks at another."""

PIECES_MOST = 1024
"""In one list. The longest body has half as many, if it comes as fast as it can be read."""

Pieces = list[bytes | bytearray]


def fold(pieces: Pieces) -> None:
    """Join all into one, which grows: however often it is asked, each byte is copied a few times at most."""
    first, *others = pieces
    whole = first if isinstance(first, bytearray) else bytearray(first)
    whole += b"".join(others)
    pieces[:] = (whole,)
