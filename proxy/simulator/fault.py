"""What whoever serves the simulator must know of its failures."""


class ScriptFault(Exception):
    """The script cannot be played; the message names every fault with its line."""
