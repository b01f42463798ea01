"""Tools that show what happens in a lab: traces, verdicts, explanations, captures and diagrams."""
