"""Slows vLLM's decoding down, so that a stream of the tiny model lasts long enough to be cut.

vLLM loads it by name (`--logits-processors throttle:Throttle`) into its engine process. The step is
`FALLTHROUGH_VLLM_STEP_MS` milliseconds for every token, whoever asked: the tests cut streams by the
numbers they have read, never by the clock, so one pace for all is enough.
"""

import os
import time

from vllm.v1.sample.logits_processor import LogitsProcessor


class Throttle(LogitsProcessor):
    """Waits before each token and leaves the logits as they are."""

    def __init__(self, vllm_config, device, is_pin_memory):
        self._step_s = int(os.environ.get("FALLTHROUGH_VLLM_STEP_MS", "0")) / 1000

    def is_argmax_invariant(self):
        """Claims to change the choice: otherwise vLLM skips `apply` for greedy requests."""
        return False

    def update_state(self, batch_update):
        """Nothing is remembered about any request."""

    def apply(self, logits):
        time.sleep(self._step_s)
        return logits
