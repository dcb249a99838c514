"""The bench: what a call and a chunk cost, beside the same load sent directly and through nginx.

`make bench` runs it. Most of it needs gcc; all takes about three minutes; nothing in `proxy` imports it.
"""
