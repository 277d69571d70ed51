"""What ships for testing: contract suites that every implementation of a kind must pass, fakes."""
