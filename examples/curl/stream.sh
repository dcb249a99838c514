#!/bin/sh
# An answer as server-sent events. `data: [DONE]` stands only at the end of one that is whole.
#
#   sh examples/curl/stream.sh
#
# FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
curl --silent --show-error --fail-with-body --no-buffer "${FALLTHROUGH_URL:-http://127.0.0.1:8080/v1}/chat/completions" \
  --header "authorization: Bearer ${FALLTHROUGH_KEY:-any}" \
  --header "content-type: application/json" \
  --data '{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "Say hello."}]}'
