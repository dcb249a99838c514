"""The forms of single values in the file, and what every mapping of it has in common.

`grammar.py` builds its parts of these. Nothing here knows a key of the file.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from proxy.config import units
from proxy.config.settings import Address
from proxy.place import Place

NAME = r"^[A-Za-z0-9._:/@+-]{1,128}$"
UPSTREAM_NAME = r"^[A-Za-z0-9._:@+-]{1,64}$"
MODEL_GLOB = r"^[A-Za-z0-9._:/@+*?-]{1,128}$"
HEADER_NAME = r"^[A-Za-z0-9-]{1,64}$"
MEMBER = r"^[A-Za-z0-9_.-]{1,64}$"
PSEUDONYM = r"^[0-9a-f]{40}$"

Name = Annotated[str, Field(pattern=NAME)]
Pseudonym = Annotated[str, Field(pattern=PSEUDONYM)]
UpstreamName = Annotated[str, Field(pattern=UPSTREAM_NAME)]
ModelGlob = Annotated[str, Field(pattern=MODEL_GLOB)]
Member = Annotated[str, Field(pattern=MEMBER)]
Whole = Annotated[int, BeforeValidator(units.whole)]
Count = Annotated[Whole, Field(gt=0, le=10**15)]
Duration = Annotated[
    float,
    BeforeValidator(units.duration),
    WithJsonSchema({"type": "string", "pattern": units.DURATION, "examples": ["250ms", "2s", "5m"]}),
]
DurationOrOff = Annotated[
    float | None,
    BeforeValidator(units.duration_or_off),
    WithJsonSchema({"type": ["string", "boolean"], "examples": ["500ms", "2s", "off"]}),
]
Reading = Annotated[
    float,
    BeforeValidator(units.reading),
    WithJsonSchema({"type": "string", "pattern": units.DURATION, "examples": ["500ms", "2s", "10s"]}),
]
Retention = Annotated[
    float,
    BeforeValidator(units.retention),
    WithJsonSchema({"type": "string", "pattern": units.DURATION, "examples": ["90d", "400d"]}),
]
Listener = Annotated[
    Address | None,
    BeforeValidator(units.address),
    WithJsonSchema(
        {"type": ["string", "boolean"], "examples": ["127.0.0.1:8080", "unix:/run/f.sock", "off"]}
    ),
]
Ledger = Annotated[
    Place,
    BeforeValidator(units.ledger),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^(sqlite:///|postgres(ql)?://).",
            "examples": ["sqlite:///var/ledger.db", "postgresql://fallthrough@db/fallthrough"],
        }
    ),
]
BaseUrl = Annotated[
    str, BeforeValidator(units.base_url), WithJsonSchema({"type": "string", "examples": ["https://HOST/v1"]})
]
Origin = Annotated[
    str,
    BeforeValidator(units.origin),
    WithJsonSchema({"type": "string", "pattern": units.ORIGIN, "examples": ["https://chat.example.com"]}),
]
Zone = Annotated[
    str,
    BeforeValidator(units.zone),
    WithJsonSchema({"type": "string", "examples": ["UTC", "Europe/Paris"]}),
]
Webhook = Annotated[
    str,
    BeforeValidator(units.webhook),
    WithJsonSchema({"type": "string", "examples": ["${ALERT_WEBHOOK:-}"], "writeOnly": True}),
]
NanoUsd = Annotated[
    int,
    BeforeValidator(units.nano_usd),
    WithJsonSchema({"type": "number", "minimum": 0}),
]
Way = Literal["adaptive", "enabled", "disabled", "between_tools", "level", "budget"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[str, ...] = get_args(Effort)
"""Rising."""


class Part(BaseModel):
    """A mapping of the file. A known key without a value counts as not written."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,  # records of the house: their validators make them
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: item for key, item in value.items() if item is not None or key not in cls.model_fields}
