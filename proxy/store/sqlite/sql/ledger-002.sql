-- How far a call under way had got when it was last noted, for the case that its process dies: JSON, see
-- proxy/store/entries.py. Working state like the rest of the table; the row that settles says what came of it.
ALTER TABLE open_calls ADD COLUMN seen TEXT;
