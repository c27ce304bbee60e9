"""What several verbs share: options, output, tables, live lines, storing records."""
