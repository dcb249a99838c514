"""From a file to a script that can be played against a table: the one way in.

All faults come at once, each as the table's are: `FILE:LINE: path: what is wrong; what to write`. It
reads the file and nothing else.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Self

from msgspec import Struct
from pydantic import ValidationError

from proxy.config import ConfigError
from proxy.config.expand import Expander
from proxy.config.faults import suggest
from proxy.config.source import SIZE_MAX, Document, read
from proxy.config.telling import tell
from proxy.policy.matching import fits, match, public_models
from proxy.rehearsal.grammar import ActPart, Does, ExpectPart, HealthyPart, LoadPart, ScriptFile
from proxy.table import Table

CALLS_MAX = 200_000
"""Of one rehearsal: they are played one by one."""
LONGEST_S = 86_400.0
"""Of one rehearsal: it is looked at once a second."""
ANOTHER_ANSWER = frozenset({"prose", "refuse", "tokens"})
"""Keys of a `do` by which an upstream is well and says something else."""


class Script(Struct, frozen=True):
    """A script without a fault, for one table."""

    load: LoadPart
    healthy: dict[str, HealthyPart]
    acts: tuple[ActPart, ...]
    expect: ExpectPart
    models: dict[str, int]
    """What is asked for, with weights."""


class Draft(Struct, frozen=True):
    """A script that is well formed, before it is held against a table."""

    document: Document
    """Takes further faults."""
    file: ScriptFile

    @classmethod
    def read(cls, path: Path) -> Self:
        """The script in `path`. Raises `ConfigError`."""
        document = _read(path)
        for place, name in document.unset.items():
            document.fault(place, f"a script knows no variables (was {name})", "write the value out")
        if document.faults:
            raise ConfigError(document.faults)
        try:
            return cls(document, ScriptFile.model_validate(document.value or {}))
        except ValidationError as error:
            for _ in tell(document, ScriptFile, error):
                pass
            raise ConfigError(document.faults) from None

    def fitted(self, table: Table) -> Script:
        """The script for `table`. Raises `ConfigError` where it speaks of what the table does not have."""
        file, known = self.file, tuple(table.upstreams)
        models = file.load.models or dict.fromkeys(_asked_for(table), 1)
        self._check_load(table, models)
        for glob in file.healthy:
            self._check_globs(("healthy", glob), [glob], known)
        for number, act in enumerate(file.acts):
            place = ("acts", number)
            self._check_globs((*place, "upstream"), act.upstream, known)
            self._check_globs((*place, "but"), act.but, known)
            if act.at >= file.load.lasts:
                self.document.fault((*place, "at"), "nobody calls any more then", "begin it before load.for")
            self._check_does((*place, "does"), act.does)
        for name in file.expect.answered:
            if name not in known:
                problem, remedy = "the table has no such upstream", suggest(name, known)
                self.document.fault(("expect", "answered", name), problem, remedy)
        if self.document.faults:
            raise ConfigError(self.document.faults)
        return Script(file.load, file.healthy, tuple(file.acts), file.expect, models)

    def _check_load(self, table: Table, models: dict[str, int]) -> None:
        load, document = self.file.load, self.document
        if not models:
            remedy = "write load.models"
            document.fault(("load",), "the table's globs do not say what callers ask for", remedy)
        for name in models:
            if match(table, name) is None:
                problem, remedy = "no route of the table matches it", suggest(name, public_models(table))
                document.fault(("load", "models", name), problem, remedy)
        if load.lasts > LONGEST_S:
            document.fault(("load", "for"), "too long for one rehearsal", "write at most 24h")
        elif load.calls * load.lasts > CALLS_MAX:
            remedy = f"keep to {CALLS_MAX:,} calls"
            document.fault(("load", "calls"), f"{load.calls * load.lasts:,.0f} calls are too many", remedy)

    def _check_does(self, place: tuple[str | int, ...], does: Does) -> None:
        if not does.model_fields_set:
            self.document.fault(place, "nothing in it", "write a word, or the keys of a `do`")
        for key in sorted(does.model_fields_set & ANOTHER_ANSWER):
            problem = "another answer is no failure, but callers would take it for one"
            self.document.fault((*place, key), problem, "leave it out; load.answer says how long answers are")

    def _check_globs(self, place: tuple[str | int, ...], globs: Iterable[str], known: Iterable[str]) -> None:
        for glob in globs:
            if not any(fits(glob, name) for name in known):
                problem = f"the table has no such upstream (was {glob})"
                self.document.fault(place, problem, suggest(glob, known))


def _asked_for(table: Table) -> tuple[str, ...]:
    """The names that the table has; where it has only globs, those names of targets that lead to them."""
    within = (
        target.model
        for route in table.routes
        for target in route.targets
        if match(table, target.model) is route
    )
    return public_models(table) or tuple(dict.fromkeys(within))


def _read(path: Path) -> Document:
    try:
        with path.open("rb") as stream:
            data = stream.read(SIZE_MAX + 1)
    except (OSError, ValueError) as error:
        document = Document(str(path))
        reason = getattr(error, "strerror", None) or "not a path"
        document.fault((), f"the file cannot be read ({reason})", "give the path of a script")
        return document
    return read(str(path), data, Expander({}))
