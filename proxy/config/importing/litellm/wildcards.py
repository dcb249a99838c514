"""Models with a `*`: whatever name is asked for goes on to one vendor there; here a target names one model.

So `deployments.py` writes them out for the models that are known of that vendor, and tells that others want a
route of their own. What the `*` of a model stands for stands in the public name, too. It must never make up a
model: at an address of somebody's own nobody knows which there are.
"""

from collections.abc import Iterator

from msgspec import Struct

from proxy.facts.vendors import Vendor

WRITTEN_OUT = (
    "a target names one model: written out for those that are known here; write a route for any other"
)
SPELT_OUT = "every model of it that is known here has an entry of its own; write a route for any other"


class Entry(Struct, frozen=True):
    """One model under one name."""

    public: str
    model: str


def written_out(public: str, vendor: Vendor | None, model: str) -> tuple[Entry, ...]:
    """An entry for each known model that the `*` takes in, if any is."""
    if vendor is None or model.count("*") > 1 or public.count("*") != 1:
        return ()
    return tuple(_each(public, vendor, *model.split("*")))


def _each(public: str, vendor: Vendor, before: str, behind: str) -> Iterator[Entry]:
    for model in vendor.models:
        if len(model) > len(before + behind) and model.startswith(before) and model.endswith(behind):
            stands_for = model.removeprefix(before).removesuffix(behind)
            yield Entry(public.replace("*", stands_for), model)
