"""What tests of the client are made with."""
