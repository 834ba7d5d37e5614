"""From a corpus as it is distributed to data/<set>: one module per corpus, and the downloader."""
