"""The networks and losses, upstream's to the last bit: generators, discriminators, norms, initial weights."""
