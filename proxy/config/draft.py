"""A file halfway: every piece that is well formed, before the pieces are judged together.

Made by `judge.py`, judged by `checks.py` and `limits.py`, turned into the table by `build.py`.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from proxy.config.abilities import ModelPart, PricePart, TierPart
from proxy.config.faults import Path, plain
from proxy.config.globs import covers
from proxy.config.grammar import AlertsPart, LimitPart, PrivacyPart, RoutePart, SettingsPart, UpstreamPart
from proxy.config.source import Document
from proxy.facts import packaged
from proxy.facts.addresses import BASE_URLS
from proxy.usage import Price


class Draft(Struct, frozen=True):
    """The well-formed pieces of one document."""

    document: Document
    """Takes further faults."""
    settings: SettingsPart
    upstreams: Mapping[str, UpstreamPart]
    routes: Mapping[int, RoutePart]
    """By position in the file, so that faults find their line."""
    unnamed: frozenset[int]
    """Routes whose `model` is a stand-in, because the file has none or none that can be."""
    limits: Mapping[int, LimitPart]
    alerts: AlertsPart
    privacy: PrivacyPart
    prices: Mapping[str, PricePart]
    models: Mapping[str, ModelPart]
    declared: frozenset[str]
    """Every upstream the file names, well formed or not."""
    all_prices: bool
    """Whether no price was malformed, so that a missing one is really missing."""
    off: dict[str, str]
    """Upstreams that are off, with the reason."""

    def price(self, target: str) -> Price | None:
        """The price of `UPSTREAM/MODEL`: the first that matches, else the packaged one."""
        return self.written_price(target) or self._packaged_price(target)

    def written_price(self, target: str) -> Price | None:
        """The first price in the file that matches."""
        for glob, part in self.prices.items():
            if covers(glob, target):
                return _price(part, tuple((tier.tokens, _price(tier)) for tier in part.above))
        return None

    def _packaged_price(self, target: str) -> Price | None:
        name, model = split(target)
        part = self.upstreams.get(name)
        return None if part is None else packaged.find(part.dialect, address(part), model).price

    def model(self, target: str) -> ModelPart:
        """What the file corrects about `UPSTREAM/MODEL`: the first that matches, else nothing."""
        return next((part for glob, part in self.models.items() if covers(glob, target)), ModelPart())

    def shown(self, target: str) -> str:
        """`UPSTREAM/MODEL` as the file writes it, so that no variable's value gets into a message."""
        for index, route in self.routes.items():
            for position, part in enumerate(route.targets):
                if part.target == target:
                    path = self.place(index, position)
                    return self.document.word(path, target)
        return plain(target)

    def place(self, index: int, position: int) -> Path:
        """Where a target's text stands, in its short or its long form."""
        short: Path = ("routes", index, "targets", position)
        return (*short, "target") if (*short, "target") in self.document.lines else short

    def used(self) -> frozenset[str]:
        """Upstreams that some route names."""
        return frozenset(split(part.target)[0] for route in self.routes.values() for part in route.targets)


def address(part: UpstreamPart) -> str:
    """Where an upstream answers; empty where nobody says."""
    return part.base_url or BASE_URLS.get(part.dialect, "")


def _price(part: PricePart | TierPart, above: tuple[tuple[int, Price], ...] = ()) -> Price:
    return Price(part.input, part.output, part.cached, part.cache_write, above)


def split(target: str) -> tuple[str, str]:
    """`UPSTREAM/MODEL` at its first slash; the model's own name may hold more of them."""
    upstream, _, model = target.partition("/")
    return upstream, model


def pairs(route: RoutePart) -> Iterator[tuple[str, str]]:
    """Upstream and model of each target."""
    return (split(part.target) for part in route.targets)
