"""What a person sees of a convergence run while it goes on: derived from its run folder, in a process of its own."""
