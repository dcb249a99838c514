"""`GET /v1/models` and `/v1/models/{id}`: the public names of the table in force.

Pickers in chat applications are filled from here. It shows names that routes match exactly, never
an upstream, a price or a target.
"""

from typing import Any
from urllib.parse import unquote

from proxy.errors import no_such_model
from proxy.policy.matching import public_models
from proxy.server.shapes import Answer, document, identified
from proxy.server.visit import Service, Visit


class Models:
    """The handlers of the model list."""

    def __init__(self, service: Service) -> None:
        self._table = service.table
        self._since = service.clock.wall_us() // 1_000_000

    async def all(self, visit: Visit) -> Answer:
        """Every public name."""
        data = [self._model(name) for name in public_models(self._table())]
        return document({"object": "list", "data": data}, identified(visit.id, visit.echo))

    async def one(self, visit: Visit) -> Answer:
        """One public name, which may hold slashes and colons; 404 if there is none such."""
        name = unquote(visit.tail, errors="replace")
        if name not in public_models(self._table()):
            raise no_such_model(name)
        return document(self._model(name), identified(visit.id, visit.echo))

    def _model(self, name: str) -> dict[str, Any]:
        # A public name has no birthday; the start of this process is true of our offering it.
        return {"id": name, "object": "model", "created": self._since, "owned_by": "fallthrough"}
