"""One self-contained HTML page about an experiment, to read and to listen to."""
