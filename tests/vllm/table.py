"""The table of the proxy under test: a commercial upstream that can be broken, and the two engines.

The engines take both cores of a small machine for seconds, so that nobody is turned away for a late loop.
Kept as text, as people write it. `{{…}}` is left for `tests/kit/processes.py`, which knows its ports.
"""

from tests.vllm.engine.server import KEY, MISTRAL, MIXTRAL

TABLE = """\
settings:
  listen: 127.0.0.1:{{proxy}}
  admin: 127.0.0.1:{{admin}}
  probes: 127.0.0.1:{{probes}}
  ledger: sqlite:///{{folder}}/ledger.db
  drain: 5s
  max_lag: off
upstreams:
  commercial:
    dialect: openai
    base_url: http://127.0.0.1:{{simulator}}/commercial/v1
    api_key: sk-commercial
    capabilities: openai
  mistral:
    dialect: vllm
    base_url: {mistral}
    api_key: {key}
  mixtral:
    dialect: vllm
    base_url: {mixtral}
    api_key: {key}
  locked:
    dialect: vllm
    base_url: {mistral}
    api_key: not-the-key-of-the-engine
routes:
  - model: mistral
    targets: [mistral/{mistral_model}]
  - model: mixtral
    targets: [mixtral/{mixtral_model}]
  - model: chat
    targets: [commercial/gpt-4o-mini, mixtral/{mixtral_model}]
  - model: locked
    targets: [locked/{mistral_model}]
prices:
  commercial/*:
    input: 0.15
    output: 0.60
  mixtral/*:
    input: 0
    output: 0
"""


def table(engines):
    """The table as text for `House`, with the addresses of the engines in it."""
    return TABLE.format(
        key=KEY,
        mistral=engines[MISTRAL].base_url,
        mixtral=engines[MIXTRAL].base_url,
        mistral_model=MISTRAL.name,
        mixtral_model=MIXTRAL.name,
    )
