"""What `gbench converge` does, one file a mode: `new_runs`, `resumed_run`, `existing_runs`, `new_reference`."""
