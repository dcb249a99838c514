"""The grammar as a page for people: docs/config.md.

`python -m proxy.config.reference > docs/config.md` writes it; a test fails when the two drift
apart. Everything in it comes from `grammar.py`, `later.py` and the facts, but for the few rules
that belong to no key.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from proxy.config.environment import ORDER, SETTINGS
from proxy.config.later import LATER
from proxy.config.schema import schema
from proxy.facts.environment import ENVIRONMENT

Part = Mapping[str, Any]

_PLAIN: Mapping[str, str] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true`, `false`",
}

RULES = """\
# Configuration

One YAML file holds everything. [`config/proxy.yaml`](../config/proxy.yaml) shows every key that
works today; `fallthrough check FILE` says everything that is wrong with a file, or what will be in
force. This page is generated: `python -m proxy.config.reference > docs/config.md`.

## Rules

* Only `upstreams` and `routes` are required. An unknown key, a key written twice, an anchor, alias
  or tag is a fault; all faults come at once, as `FILE:LINE: path: what is wrong; what to write`.
* The file is a regular one, or a symbolic link to one: a pipe, and so `<(…)` and `… | … /dev/stdin`,
  is refused, for it cannot be read again after an edit. So is one in `${file:…}`.
* `${NAME}`, `${NAME:-default}` and `${file:/absolute/path}` are filled in inside any value, never
  in a key; `$${` is a literal `${`. One inside another, as in `${A:-${B}}`, is a fault. Inside `{…}`
  or `[…]` YAML wants them in quotes. A value that is only `${NAME:-}` counts as not written while
  NAME is empty.
* An upstream that needs a variable which is not set is *off*: said once, and skipped in routes. A
  variable set to nothing is an empty secret, which is a fault where a route uses it. A route with
  no upstream on is a fault, unless `settings.simulator` is `auto`.
* Durations carry a unit: `250ms`, `2s`, `5m`, `1h`, `90d`. `50_000` is a number, `010` is ten, and
  `no` is a word, which a yes-or-no key understands. Text that looks like a number goes in quotes.
* Globs know `*` and `?`. Routes, prices and models are searched from the top: the first match wins,
  and one that can never match is a fault.
* The price and the facts of well-known models are packaged: at a vendor's own address they are known
  without a line here. What the file says wins. `fallthrough check` shows which price is whose.
* A ledger in a file is one proxy's; one in a PostgreSQL database is shared by as many as name it. The
  password comes best from `PGPASSWORD` or a pgpass file; in the URL it is percent-encoded.
* A limit below what the smallest call would hold (`max_output_tokens` and one token of input) is a
  fault, and so is a limit in dollars over a target without a price.
* A limit that names an upstream, by `upstream:` or `per: upstream`, makes that upstream be skipped
  when it is spent; any other refuses the caller.
"""

ENV = """\
## Without a file

The environment is enough. A model that an upstream lists goes there first and then to the default
models of the others, in order; any other name is answered by the default models alone.

| upstream | switched on by | base URL | default model (or the variable) | its models |
|---|---|---|---|---|
"""

AFTER_ENV = """\

`{order}=deepseek,openai,vllm` puts these first, in this order; the others that are on follow.
`VLLM_API_KEY` is the optional key of vLLM. Settings come from {settings}.
"""

LATER_HEAD = """\
## Not yet supported

These are refused, never ignored.

| key | values | meanwhile |
|---|---|---|
"""


def page() -> str:
    """The whole page."""
    made = schema()
    parts = [RULES, "## Keys\n", *_tables(made), ENV + "\n".join(_upstreams())]
    names = ", ".join(f"`{name}`" for name in SETTINGS.values())
    parts.append(AFTER_ENV.format(order=ORDER, settings=names))
    parts.append(LATER_HEAD + "\n".join(_later()) + "\n")
    return "\n".join(parts)


def _tables(made: Part) -> Iterator[str]:
    """A table for the root and each kind of mapping, in the order the grammar names them."""
    yield _table("The file", made, made)
    for name, part in made["$defs"].items():
        if name.endswith("Part"):
            yield _table(name.removesuffix("Part"), part, made)


def _table(name: str, part: Part, made: Part) -> str:
    defs = made["$defs"]
    about = "" if name == "The file" else "\n" + part.get("description", "") + "\n"
    rows = [
        f"| `{key}` | {_form(form, defs)} | {_default(form)} | {_meaning(form, defs)} |"
        for key, form in part["properties"].items()
    ]
    required = ", ".join(f"`{key}`" for key in part.get("required", ()))
    tail = f"\nRequired: {required}.\n" if required else ""
    head = f"### {name}\n{about}\n| key | form | default | meaning |\n|---|---|---|---|\n"
    return head + "\n".join(rows) + "\n" + tail


def _meaning(form: Part, defs: Part) -> str:
    """What a key is for; where it says no more than its mapping, what that says."""
    named = defs.get(str(form.get("$ref", "")).rpartition("/")[2], {})
    return str(form.get("description") or named.get("description", ""))


def _form(form: Part, defs: Part) -> str:
    """What a value looks like, in a few words."""
    if "anyOf" in form:
        return " or ".join(_form(item, defs) for item in form["anyOf"] if item.get("type") != "null")
    if "$ref" in form:
        name = form["$ref"].rpartition("/")[2]
        return name.removesuffix("Part") if name.endswith("Part") else _form(defs[name], defs)
    if "enum" in form or "const" in form:
        return ", ".join(_word(word) for word in form.get("enum", [form.get("const")]))
    if "items" in form:
        return f"list of {_form(form['items'], defs)}"
    if form.get("type") == "object":
        inner: Part = next(iter(form.get("patternProperties", {}).values()), {})
        return f"mapping of {_form(inner, defs)}"
    if "examples" in form:
        return "such as " + ", ".join(map(_word, form["examples"]))
    return _PLAIN.get(str(form.get("type")), "anything")


def _word(value: object) -> str:
    """A value as the file would hold it."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{text}`" if text else '`""`'


def _default(form: Part) -> str:
    return "" if form.get("default") is None else _word(form["default"])


def _upstreams() -> Iterator[str]:
    for known in ENVIRONMENT:
        url = known.base_url or f"`{known.switch}`"
        models = ", ".join(known.models)
        yield (
            f"| {known.name} | `{known.switch}` | {url} | {known.default_model} "
            f"(`{known.model_variable}`) | {models} |"
        )


def _later() -> Iterator[str]:
    for later in LATER:
        values = ", ".join(later.words)
        yield f"| `{later.path.replace('.*', '[…]')}` | {values} | {later.remedy} |"


if __name__ == "__main__":
    sys.stdout.write(page())
