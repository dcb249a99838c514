"""Environment variables of a system that calls vendors itself → a table that does it in its place.

Called by `fallthrough import env`. Three steps: every name is read (`names.py`), what the values say is
gathered upstream by upstream (`gathering.py`), and the sketch is drawn: an upstream for each vendor in
the order, a route for each purpose that has a model of its own, and one for every other name. Values of
keys are never looked at: the table refers to the variable they are in.
"""

from collections.abc import Callable, Mapping
from typing import Any

from proxy.config.environment import SETTINGS
from proxy.config.importing import amounts
from proxy.config.importing.dotenv import Variables
from proxy.config.importing.gathering import House, Side, enter
from proxy.config.importing.names import Found, LimitReading, Reading, Unread, read
from proxy.config.importing.proof import finish
from proxy.config.importing.sketch import Imported, RouteSketch, RowSketch, Sketch, UpstreamSketch
from proxy.config.importing.text import literal
from proxy.facts.variables import Says
from proxy.facts.vendors import UNSPOKEN, Vendor, by_word

ANY = "*"
NO_LIMIT = frozenset({"0", "-1", "unlimited", "none", "inf"})


def from_environment(variables: Variables) -> Imported:
    """The table that the variables amount to. Raises `NothingToImport`."""
    house = House(variables, Sketch(variables.source))
    found = {name: read(name) for name in variables.values if name not in SETTINGS.values()}
    for name in [name for name in variables.values if name not in found]:
        _setting(house, name, variables.values[name])
    late = [
        (name, reading) for name, each in found.items() if (reading := _late(house, name, each)) is not None
    ]
    # Who is spoken of by name is known before those who are only spoken of by their place.
    for name, reading in sorted(late, key=lambda one: (one[1].vendor is None, one[1].says is not Says.MODEL)):
        enter(house, name, reading)
    _draw(house)
    others = [name for name, reading in found.items() if reading is None]
    if others and variables.lines:
        names = ", ".join(others)
        house.sketch.left(
            variables.source, f"{len(others)} variables say nothing of AI by their names: {names}"
        )
    return finish(house.sketch)


def _late(house: House, name: str, found: Found) -> Reading | None:
    """What has to wait until the order is known; anything else is entered at once."""
    value, place = house.variables.values[name], house.variables.place(name)
    match found:
        case None:
            return None
        case _ if not value.strip():
            house.sketch.left(place, "it is empty")
        case Unread(why):
            house.sketch.left(place, why)
        case LimitReading():
            house.limits.append((name, found))
        case Reading(says) if says in _ORDER:
            _ORDER[says](house, name, value, found)
        case Reading():
            return found
    return None


def _setting(house: House, name: str, value: str) -> None:
    key = next(key for key, variable in SETTINGS.items() if variable == name)
    house.sketch.places[f"settings.{key}"] = house.variables.place(name)
    if key == "ledger":  # it may hold a password
        house.sketch.settings[key] = house.sketch.reference(name, "sqlite:///var/ledger.db")
    elif value:
        house.sketch.settings[key] = literal(value)


# ── the order ─────────────────────────────────────────────────────────────────────────────────────────


def _vendor(house: House, name: str, word: str) -> Vendor | None:
    vendor = by_word(word)
    if vendor is None:
        unknown = "no vendor is known here by one of its words; write that upstream yourself"
        house.sketch.left(house.variables.place(name), UNSPOKEN.get(word.strip().lower(), unknown))
    return vendor


def _provider(house: House, name: str, value: str, reading: Reading) -> None:
    vendor = _vendor(house, name, value)
    if vendor is None:
        return
    if reading.place:
        house.later[reading.place] = vendor
    else:
        house.first.append(vendor)


def _in_order(house: House, name: str, value: str, _reading: Reading) -> None:
    words = value.strip("[]() ").replace('"', "").replace("'", "").replace(">", ",").replace(";", ",")
    found = [_vendor(house, name, word) for word in words.split(",") if word.strip(" -")]
    house.ordered += [each for each in found if each is not None]


_ORDER: Mapping[Says, Callable[[House, str, str, Reading], None]] = {
    Says.PROVIDER: _provider,
    Says.ORDER: _in_order,
}


# ── the sketch ────────────────────────────────────────────────────────────────────────────────────────


def _draw(house: House) -> None:
    sketch = house.sketch
    order = house.order()
    for vendor in [*order, *(by_word(name) for name in house.sides if name)]:
        if vendor is not None and vendor.name not in sketch.upstreams:
            _upstream(house, vendor)
    there = [vendor for vendor in order if vendor.name in sketch.upstreams]
    for vendor in there:
        if _model(house, vendor, "") is None:
            stem = vendor.name.upper().replace("-", "_")
            sketch.left(vendor.name, f"nobody says which model it has: set {stem}_MODEL")
    routed = [vendor for vendor in there if _model(house, vendor, "") is not None]
    for purpose in dict.fromkeys(word for side in house.sides.values() for word in side.models if word):
        _route(house, purpose, _with_first(house, routed, purpose), purpose)
    _route(house, ANY, routed, "")
    for name in [name for name in sketch.upstreams if name not in {vendor.name for vendor in order}]:
        sketch.changed(
            f"upstreams.{name}", "it is described, but no route leads to it: it is not in the order"
        )
    for name, limit in house.limits:
        _limit(house, name, limit)


def _upstream(house: House, vendor: Vendor) -> None:
    side, everybodys = house.side(vendor), house.sides.get("", Side())
    url = side.members.get("base_url", vendor.base_url)
    if url is None:
        stem = vendor.name.upper().replace("-", "_")
        house.sketch.left(side.place or vendor.name, f"nobody says where it answers: set {stem}_URL")
        return
    members: dict[str, Any] = {"dialect": vendor.dialect, "base_url": url}
    if side.key is not None or not vendor.keyless:
        name = side.key or vendor.key
        members["api_key"] = house.sketch.reference(name)
        if side.key is None:
            house.sketch.needs(name, f"no key for {vendor.name} was read")
    members |= {key: value for key, value in (everybodys.members | side.members).items() if key != "base_url"}
    for key, value in (
        ("timeouts", everybodys.timeouts | side.timeouts),
        ("breaker", everybodys.breaker | side.breaker),
        ("capabilities", vendor.capabilities),
    ):
        if value:
            members[key] = value
    house.sketch.upstreams[vendor.name] = UpstreamSketch(vendor.name, members, side.place)


def _model(house: House, vendor: Vendor, purpose: str) -> str | None:
    models = house.side(vendor).models
    return models.get(purpose) or models.get("") or vendor.default_model


def _with_first(house: House, routed: list[Vendor], purpose: str) -> list[Vendor]:
    """Those that have a model for it before the others, each as ordered."""
    return sorted(routed, key=lambda vendor: purpose not in house.side(vendor).models)


def _route(house: House, model: str, vendors: list[Vendor], purpose: str) -> None:
    targets = [f"{vendor.name}/{_model(house, vendor, purpose)}" for vendor in vendors]
    members = house.route | ({"defaults": house.defaults} if house.defaults else {})
    house.sketch.routes[model] = RouteSketch(model, targets, dict(members), "")


def _limit(house: House, name: str, limit: LimitReading) -> None:
    value, place = house.variables.values[name].strip(), house.variables.place(name)
    amount = amounts.dollars(value) if limit.unit == "usd" else amounts.count(value)
    if value.lower() in NO_LIMIT or amount is None:
        none = value.lower() in NO_LIMIT
        house.sketch.left(place, "no limit is set by it" if none else "this is not an amount above 0")
        return
    members: dict[str, Any] = {}
    if limit.per is not None:
        members["per"] = limit.per
    if limit.vendor is not None:
        members["upstream"] = limit.vendor.name
    members |= {limit.unit: amount, "every": limit.every}
    if house.marks is not None:
        members["alert"] = house.marks
    if limit.per is None and limit.vendor is None:
        house.sketch.changed(place, "it holds for all callers together; write per: tenant for each")
    house.sketch.limits.append(RowSketch(members, place))
