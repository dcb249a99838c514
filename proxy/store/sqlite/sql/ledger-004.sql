-- Which conversation a call belongs to: a keyed pseudonym, made from the person's key where there is a person.
-- NULL in all rows before, whose hashes it does not change (proxy/store/chain.py).
ALTER TABLE rows ADD COLUMN session_pseudonym TEXT;
