#!/bin/sh
# Who is up, how fast and how often they fail, as a caller may know it (docs/views.md).
#
#   sh examples/curl/upstreams.sh
#
# FALLTHROUGH_URL and FALLTHROUGH_KEY say where the proxy is and who asks; `make run` needs neither.
curl --silent --show-error --fail-with-body "${FALLTHROUGH_URL:-http://127.0.0.1:8080/v1}/upstreams" \
  --header "authorization: Bearer ${FALLTHROUGH_KEY:-any}"
