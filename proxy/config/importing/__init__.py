"""Other systems' words → a Fallthrough table: their environment variables, or a LiteLLM file.

`from_environment` and `from_litellm` are the ways in, called by `fallthrough import`. Both draw a
`Sketch`, which only leaves this folder as a table without a fault.
"""

from proxy.config.importing.dotenv import read_env_file
from proxy.config.importing.litellm import from_litellm
from proxy.config.importing.proof import NothingToImport
from proxy.config.importing.sketch import Imported
from proxy.config.importing.variables import from_environment

__all__ = ["Imported", "NothingToImport", "from_environment", "from_litellm", "read_env_file"]
