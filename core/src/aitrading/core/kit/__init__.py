"""The bottom of the house: clock, ids, randomness, errors, secrets."""
