"""YAML and environment → the table and the settings, with every fault at once."""

from proxy.config.faults import ConfigError, Fault
from proxy.config.reading import Loaded, load, load_ledger, load_without_keys
from proxy.config.settings import Address, Settings

__all__ = [
    "Address",
    "ConfigError",
    "Fault",
    "Loaded",
    "Settings",
    "load",
    "load_ledger",
    "load_without_keys",
]
