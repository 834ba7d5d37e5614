"""How much the page may send: it is for trying, not for corpora."""

MAX_UPLOAD_BYTES = 20_000_000
# Of a file, or of a recording that is encoded whole.
MAX_WHOLE_SECONDS = 60
# Of a recording that is encoded as it comes.
MAX_STREAM_SECONDS = 300
# Of a websocket: half a second of audio at 192 kHz is less than a fifth of it.
MAX_MESSAGE_BYTES = 1 << 20
HIGHEST_RATE_HZ = 192_000
