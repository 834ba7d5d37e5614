# shellcheck shell=bash
# The stages of a recipe that reads codes: sourced by asr2.sh and slu.sh, which say with what task
# and have options of their own. Audio in place of codes (--input audio) gives the reference systems.
# shellcheck disable=SC2034  # tools/stages.sh reads some of these

stage=1
stop_stage=7
nj=2                 # processes of stages 1, 4
inference_nj=2       # processes of stage 6
ngpu=0               # GPUs of stages 1, 5; 0 uses the CPU
parallel=            # a cluster for stages 1, 6: conf/parallel/slurm.yaml, ...
dumpdir=dump
expdir=exp
codec_recipe=../codec1   # where stages 1 and 2 were run, and codec experiments are looked for
codec_dumpdir=dump   # --dumpdir of that recipe
codec_exp=           # the codec's experiment; needed only where codec_recipe has several
codes_dir=           # finished codes (stage 7 of a codec) instead of codec_exp
semantic_tokens=     # plain semantic tokens, <dumpdir>/semantic/<tag> of stage 3, instead of codes
input=codes          # codes, or audio for a train_config with a frontend that reads it
codebooks=1          # which codebooks, counted from 1: 1, 1-8, 1,3-4
deduplicate=false    # leave out frames that repeat the one before
src_nbpe=0           # size of a BPE over the codes of one codebook; 0 for single codes
target=words         # target text: words, intent_words, intent, scenario
token_type=bpe       # units of the target: char, word, bpe
nbpe=200             # number of units, for bpe
train_config=        # model and training
train_args=          # further options of training
inference_config=conf/decode.yaml
inference_model=     # checkpoint of stage 6, e.g. 10epoch.pth; valid.acc.best.pth if empty
tag=                 # name of the experiment; derived from input and configuration if empty
train_set=
valid_set=
test_sets=
help_message="Usage: ./run.sh [--stage 1] [--stop-stage 7] [--option value ...]
1 codes of the codec, 2 inputs and targets, 3 token list, 4 statistics, 5 training, 6 decoding,
7 scores.
Options and defaults:
$(sed -n '/^stage=/,/^test_sets=/s/^/  --/p' "${BASH_SOURCE[0]}")"

# shellcheck source=../../tools/stages.sh
. ../../../tools/stages.sh
whole_numbers nj inference_nj ngpu src_nbpe nbpe
names_of_sets train_set valid_set test_sets
[[ -n $train_config ]] || fail "--train_config is not given."
files train_config inference_config parallel
checkpoint_name inference_model
one_of input codes audio
one_of target words intent_words intent scenario
one_of token_type char word bpe
[[ $token_type != bpe || $nbpe != 0 ]] || fail "--nbpe is the number of units of a BPE, not 0."
[[ $codebooks =~ ^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$ ]] ||
    fail "--codebooks '$codebooks' is not a list such as 1, 1-8 or 1,3-4."
[[ $src_nbpe == 0 || $codebooks != *[,-]* ]] ||
    fail "--src_nbpe learns a BPE over one codebook, not over '$codebooks'."
[[ $TASK != mt || $input != audio ]] || TASK=asr # ESPnet's translation task reads no audio
train_words=()
split_words train_args "$train_args" train_words
read -ra tests <<<"$test_sets"
# A development set may be the test set: each set is made once.
mapfile -t sets < <(printf '%s\n' "$train_set" "$valid_set" "${tests[@]}" | awk '!seen[$0]++')
raw=$codec_recipe/$codec_dumpdir/raw
cluster=()
[[ -z $parallel ]] || cluster=(--parallel "$(realpath -m "$parallel")") # stage 1 is in another folder

given=0
for name in codec_exp codes_dir semantic_tokens; do [[ -z ${!name} ]] || given=$((given + 1)); done
((given < 2)) || fail "--codec_exp, --codes_dir and --semantic_tokens exclude each other."
# Once inputs are made, the codes may be gone.
((stage > 1)) || folders_there codec_exp codes_dir semantic_tokens
# Which codes: of the only codec there is, of a given one, plain tokens, or finished ones.
if [[ $input == audio ]]; then
    name=audio
elif [[ -n $semantic_tokens ]]; then
    name=$(basename "$semantic_tokens")
    codes_dir=$dumpdir/codes/$name
elif [[ -n $codes_dir ]]; then
    own=$(realpath -m "$codes_dir") # whose parent has a name, also of "codes" or "../codes"
    name=$(basename "$(dirname "$own")") own=$(basename "$own")
    [[ $own == codes ]] || name+=_${own#codes_} # of another checkpoint than the best one
else
    if [[ -z $codec_exp ]]; then
        mapfile -t candidates < <(for model in "$codec_recipe"/exp/codec_*/valid.*.best.pth; do
            [[ ! -e $model ]] || dirname "$model"
        done | sort -u)
        ((${#candidates[@]})) || fail "no codec in $codec_recipe/exp; run $codec_recipe/run.sh first."
        ((${#candidates[@]} == 1)) ||
            fail "several codecs; choose one with --codec_exp: ${candidates[*]}"
        codec_exp=${candidates[0]}
    fi
    name=$(basename "$codec_exp")
    codes_dir=$codec_exp/codes # stage 7 of the codec's recipe, if it was run for these sets
    for set in "${sets[@]}"; do
        [[ -e $codes_dir/$set/codes.scp ]] || codes_dir=$dumpdir/codes/$name
    done
fi
if [[ $input == codes ]]; then
    name+=_q${codebooks//,/+}
    [[ $deduplicate == false ]] || name+=_dedup
    ((src_nbpe == 0)) || name+=_bpe$src_nbpe
fi
name+=_$target$other_set
inputs=$dumpdir/inputs/$name
units=$token_type
[[ $token_type != bpe ]] || units="bpe$nbpe"
token_dir=$inputs/$units
exp=$expdir/${TASK:?mt, asr or slu}_${tag:-$(basename "$train_config" .yaml)_${name}_$units}
stats=$exp/stats
model=$exp/${inference_model:-valid.acc.best.pth}
# What another checkpoint gives has its name.
decode_dir=$exp/decode${inference_model:+_${inference_model%.pth}}
folders "$inputs" "$exp"

if begin 1 "codes: ${codes_dir:-none, audio is read}" && [[ $input == codes ]]; then
    # In the codec recipe's folder, which the paths of its lists begin at.
    from=$(realpath -m "${semantic_tokens:-${codec_exp:-.}}") to=$(realpath -m "$codes_dir")
    made=(--dump_dir "$codec_dumpdir/raw" --sets "${sets[@]}" --out_dir "$to")
    if [[ -n $semantic_tokens ]]; then
        (cd "$codec_recipe" && python -m espnet_stacodec.bin.tokens_as_codes \
            --semantic_dir "$from" "${made[@]}")
    elif [[ -n $codec_exp && $codes_dir != "$codec_exp"/* ]]; then
        need_own_gpus
        (cd "$codec_recipe" && python -m espnet_stacodec.bin.dump_codes --model "$from" \
            "${made[@]}" --nj "$nj" --ngpu "$ngpu" "${cluster[@]}")
    fi
fi
if begin 2 "inputs and targets: $inputs"; then
    if [[ $input == audio ]]; then
        what=(--dump_dir "$raw")
    else
        what=(--codes_dir "$codes_dir" --codebooks "$codebooks" --src_nbpe "$src_nbpe")
        [[ $deduplicate == false ]] || what+=(--deduplicate)
    fi
    python -m espnet_stacodec.bin.prepare_inputs "${what[@]}" --sets "${sets[@]}" \
        --target "$target" --out_dir "$inputs"
fi
if begin 3 "token list: $token_dir"; then
    need 2 "$inputs/$train_set/text"
    python -m espnet_stacodec.bin.make_token_list --text "$inputs/$train_set/text" \
        --token_type "$token_type" --nbpe "$nbpe" --out_dir "$token_dir"
fi

# The input's name in ESPnet's task, and the options that describe it.
options=(--token_type "$token_type" --token_list "$token_dir/tokens.txt")
[[ $token_type != bpe ]] || options+=(--bpemodel "$token_dir/bpe.model")
if [[ $input == audio ]]; then
    stream=wav.scp,speech,sound
elif [[ $TASK == mt ]]; then
    stream=codes.scp,src_text,kaldi_ark
    options+=(--model discrete_asr --src_token_list "$inputs/src_tokens.txt" --src_token_type null)
else
    stream=codes.scp,speech,kaldi_ark
fi
if [[ $input == codes && -e $inputs/codes.json ]]; then # written last in stage 2
    n=$(wc -l <"$inputs/codebooks.txt")
    options+=(--frontend code_mixture --frontend_conf "n_codebooks=$n")
    if [[ $TASK == mt ]]; then
        options+=(--model_conf "patch_size=$n") # this many <sos/eos> end the input: a whole frame
    else
        options+=(--frontend_conf "input_size=$(wc -l <"$inputs/src_tokens.txt")")
    fi
fi
shape=$(cut -d, -f2 <<<"$stream")_shape
train() { # train FOLDER OPTION...
    python -m espnet_stacodec.bin.espnet "${TASK}_train" --config "$train_config" \
        --output_dir "$1" "${options[@]}" \
        --train_data_path_and_name_and_type "$inputs/$train_set/$stream" \
        --train_data_path_and_name_and_type "$inputs/$train_set/text,text,text" \
        --valid_data_path_and_name_and_type "$inputs/$valid_set/$stream" \
        --valid_data_path_and_name_and_type "$inputs/$valid_set/text,text,text" "${@:2}" \
        "${train_words[@]}"
}
# A training that was killed while it saved an epoch may have the checkpoint before it alone.
started() { [[ -e $exp/checkpoint.pth || -e $exp/checkpoint.previous.pth ]]; }
# same_inputs: a trained model is given the kind of input and target that it was trained with, whatever
# its --tag is, of the same codec: one that was trained on, or anew, has the same name.
same_inputs() {
    started || return 0
    local before="$name $units" cure="train it under another --tag, or remove it."
    [[ ! -e $exp/inputs.txt ]] || before=$(<"$exp/inputs.txt")
    [[ $before == "$name $units" ]] ||
        fail "$exp was trained on other inputs or units ('$before' there, '$name $units' now); $cure"
    [[ ! -e $exp/codes.json ]] || cmp -s "$inputs/codes.json" "$exp/codes.json" ||
        fail "$exp was trained with another codec than that of the codes in $inputs (their" \
            "codes.json differ); $cure"
}
if begin 4 "statistics: $stats"; then
    need 3 "$token_dir/tokens.txt"
    same_inputs
    train "$stats" --collect_stats true --num_workers "$nj"
fi
if begin 5 "training: $exp"; then
    need 4 "$stats/train/$shape"
    need_gpus
    same_inputs
    if ! started; then
        echo "$name $units" >"$exp/inputs.txt"
        [[ ! -e $inputs/codes.json ]] || cp "$inputs/codes.json" "$exp/"
    fi
    train "$exp" --train_shape_file "$stats/train/$shape" --valid_shape_file "$stats/valid/$shape" \
        --ngpu "$ngpu" --resume true \
        --multiprocessing_distributed "$( ((ngpu > 1)) && echo true || echo false)" \
        2>&1 | tee -a "$exp/train.log"
fi
if begin 6 "decoding: $decode_dir"; then
    need 5 "$model"
    same_inputs
    python -m espnet_stacodec.bin.recognize --task "$TASK" --model "$model" \
        --inputs_dir "$inputs" --stream "$stream" --sets "${tests[@]}" --out_dir "$decode_dir" \
        --config "$inference_config" --nj "$inference_nj" "${cluster[@]}"
fi
if begin 7 "scores: $decode_dir"; then
    texts=("${tests[@]/#/$decode_dir/}")
    need 6 "${texts[@]/%//text}"
    python -m espnet_stacodec.bin.score --inputs_dir "$inputs" --decode_dir "$decode_dir" \
        --train_set "$train_set" --sets "${tests[@]}" --target "$target" --title "$model"
    echo "run.sh: scores: $(absolute "$decode_dir/RESULTS.md")"
fi
