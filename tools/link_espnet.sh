#!/usr/bin/env bash
# Put this plugin's recipes beside those of an ESPnet checkout, as symbolic links, and print how to
# train ESPnet's own asr2.sh and slu.sh on the codes they make. Nothing of ESPnet is changed.
set -euo pipefail

if [[ ${1:-} == --help ]]; then
    echo "Usage: tools/link_espnet.sh /path/to/espnet
Links <espnet>/egs2/<corpus>/stacodec_<recipe> to this plugin's recipes."
    exit
fi
fail() { echo "link_espnet.sh: error: $*" >&2; exit 1; }
(($# == 1)) || fail "give one folder, an ESPnet checkout; see --help."
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
for needed in espnet2 egs2/TEMPLATE/asr2/asr2.sh egs2/TEMPLATE/slu1/slu.sh; do
    [[ -e $1/$needed ]] || fail "$1 is not an ESPnet checkout, it has no $needed."
done
espnet=$(cd -P "$1" && pwd)

recipes=()
for script in "$root"/egs2/*/*/run.sh; do
    recipe=$(dirname "$script")
    link=$espnet/egs2/$(basename "$(dirname "$recipe")")/stacodec_$(basename "$recipe")
    # All are looked at before the first is made.
    if [[ -e $link || -L $link ]] && [[ ! $link -ef $recipe ]]; then
        fail "$link is there and not a link to $recipe; remove or rename it first."
    fi
    recipes+=("$recipe" "$link")
done
set -- "${recipes[@]}"
while (($#)); do
    mkdir -p "$(dirname "$2")"
    [[ -e $2 ]] || ln -s "$1" "$2"
    echo "$2 -> $1"
    shift 2
done

cat <<EOF

To train ESPnet's own recipes on the codes of a codec whose recipe was run to stage 7, e.g. mini's:

    cd $espnet/egs2/mini
    ../TEMPLATE/asr2/setup.sh codes_asr2      # a recipe of ESPnet's; for slu1 likewise
    cd codes_asr2
    . $root/tools/env.sh
    python -m espnet_stacodec.bin.export_espnet --recipe asr2 \\
        --codes_dir ../stacodec_codec1/exp/CODEC/codes \\
        --train_set train --valid_set dev --test_sets test

prints the command that runs asr2.sh from its token list on:

    ./asr2.sh --stage 7 --stop_stage 15 --src_lang CODEC_q1 --src_case rm \\
        --src_token_type bpe --src_nbpe UNITS --dumpdir dump \\
        --train_set train --valid_set dev --test_sets test

and with --recipe slu1, in codes_slu1,

    ./slu.sh --stage 5 --feats_type extracted --expdir exp/CODEC_q1_ts_intent_words --dumpdir dump \\
        --train_set train --valid_set dev --test_sets test

Add what is yours: --asr_config or --slu_config, --use_lm, --tgt_nbpe or --token_type, --ngpu, --nj.
EOF
