"""Numbers of a study first, then its tables, figures and pages."""
