"""One thin command per file; everything they do can be called from Python."""
