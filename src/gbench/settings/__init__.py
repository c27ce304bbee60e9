"""argv + environment + configs/*.yaml -> one frozen RunSpec."""
