"""What the engine's property tests and the fuzzer share: generated messages, deliveries, judges."""
