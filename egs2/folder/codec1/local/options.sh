# shellcheck shell=bash
# shellcheck disable=SC2034  # read by codec.sh and parse_options.sh
# Options of this recipe's stage 1.
audio_dir=           # stage 1: folder with audio files of any format, in any tree
speakers=            # folder, file, or a regular expression for a path; empty: folder if several
dev_share=0.05       # of the audio, for the development set
RECIPE_OPTIONS=(audio_dir speakers dev_share nj)
