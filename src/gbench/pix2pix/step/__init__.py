"""One training step: the model, its optimisers and schedule, precision, speed switches, CUDA graphs, FLOP count."""
