"""Study files and the configuration of every stage; no torch."""
