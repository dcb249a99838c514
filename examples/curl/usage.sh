#!/bin/sh
# What this key has used, spent and left (docs/views.md).
#
#   sh examples/curl/usage.sh
#
# FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
curl --silent --show-error --fail-with-body "${FALLTHROUGH_URL:-http://127.0.0.1:8080/v1}/usage" \
  --header "authorization: Bearer ${FALLTHROUGH_KEY:-any}"
