"""Pages for people, made from run folders alone."""
