"""A local web page to try a codec on: `stacodec demo`, of the extra `demo`."""
