"""The room that tells people outside: one file per way of telling."""
