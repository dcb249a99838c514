"""Supervised background work: duties that run beside the calls for as long as the process lives."""
