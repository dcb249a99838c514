"""The bench: what a call and a chunk cost, beside the same load sent directly and through nginx.

`make bench` runs it. It needs gcc, and takes about three minutes; nothing in `proxy` imports it.
"""
