"""Real servers on this machine for tests, and the tests that need them."""
