"""Second factors: what a person has besides the password, and how recently it was proved."""
