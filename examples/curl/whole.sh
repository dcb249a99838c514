#!/bin/sh
# A whole answer with curl, behind the headers that tell who answered.
#
#   sh examples/curl/whole.sh
#
# FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
curl --silent --show-error --fail-with-body --include "${FALLTHROUGH_URL:-http://127.0.0.1:8080/v1}/chat/completions" \
  --header "authorization: Bearer ${FALLTHROUGH_KEY:-any}" \
  --header "content-type: application/json" \
  --data '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Say hello."}]}'
