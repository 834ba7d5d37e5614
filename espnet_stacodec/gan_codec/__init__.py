"""The STACodec model."""
