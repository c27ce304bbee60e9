"""The modes of `gbench converge`, one per file: `new_runs`, `resumed_run`, `existing_runs`, `new_reference`."""
