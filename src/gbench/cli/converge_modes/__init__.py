"""The modes of `gbench converge`: `new_runs` makes or resumes runs, `existing_runs` judges or makes a reference."""
