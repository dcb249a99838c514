"""The room that calls upstreams: HTTP out, and every network error turned into a `Signal`."""
