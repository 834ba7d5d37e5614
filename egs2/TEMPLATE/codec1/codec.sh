#!/usr/bin/env bash
# The stages of a codec recipe. A recipe's run.sh calls this, in its own folder, with its defaults.
set -euo pipefail

stage=1
stop_stage=7
nj=2                 # processes of stages 2, 3, 4
inference_nj=2       # processes of stages 6, 7
ngpu=0               # GPUs of stages 3, 5, 6, 7, a process on each instead of nj; 0 uses the CPU
parallel=            # a cluster for stages 2, 3, 6, 7: conf/parallel/slurm.yaml, ...
num_nodes=1          # machines of stage 5; the same command is started on each
master_addr=         # the first of several machines
dumpdir=dump
expdir=exp
local_data_opts=     # further options of local/data.sh
allow_commands=false # whether stage 2 runs entries "command |" of data/*/wav.scp
min_seconds=0.2      # shorter audio is rejected in stage 2
max_seconds=40       # longer audio, too
speed_perturb_factors= # e.g. "0.9 1.0 1.1": train the codec on copies of these speeds
ssl_config=          # semantic tokens: upstream, layer, number of clusters
ssl_path=            # replaces path_or_url of ssl_config
hub_revision=        # replaces revision of ssl_config
semantic_tokens=     # folder of precomputed tokens, used instead of ssl_config
keep_features=false  # whether stage 3 keeps SSL features, which distillation from them needs in stages 4, 5
train_config=        # codec and training
train_args=          # further options of training, e.g. "--max_epoch 10"
train_minutes=       # length of the training: minutes on this machine; a few steps are timed first
train_steps=         # or steps; if both are empty, as the configuration says
tag=                 # name of the experiment; derived from the configurations if empty
metrics="pesq stoi si_sdr spectral" # scores of stage 6; f0 speaker dnsmos take seconds each
recognizer=          # a speech recognizer's path: stage 6 counts word errors, too
inference_model=     # checkpoint of stages 6 to 9, e.g. 10epoch.pth; the best one if empty
inference_precision=float32 # of stages 6, 7; with bfloat16 twice as fast where the processor has it, some other codes
train_set=
valid_set=
test_sets=
hub_repo=            # stage 9: id of a Hugging Face repository; empty uploads nothing
# A recipe whose data need options of their own names them in local/options.sh, for local/data.sh.
RECIPE_OPTIONS=()
own_options=
if [[ -e local/options.sh ]]; then
    # shellcheck source=/dev/null
    . local/options.sh
    own_options=$(grep '^[a-z]' local/options.sh | sed 's/^/  --/')
fi
# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: ./run.sh [--stage 1] [--stop-stage 7] [--option value ...]
1 data, 2 format and filter audio, 3 semantic tokens, 4 statistics, 5 training, 6 decoding and
scores, 7 export of codes for ASR and SLU recipes, 8 pack, 9 upload (needs --hub_repo).
Options and defaults:
$(sed -n '/^stage=/,/^hub_repo=/s/^/  --/p' "$0")${own_options:+
$own_options}"
unset own_options

# shellcheck source=../../../tools/stages.sh
. ../../../tools/stages.sh
whole_numbers nj inference_nj ngpu num_nodes
numbers min_seconds max_seconds
[[ -z $train_minutes ]] || numbers train_minutes
[[ -z $train_steps ]] || whole_numbers train_steps
[[ -z $train_minutes || -z $train_steps ]] || fail "--train_minutes and --train_steps exclude each other."
[[ ! $train_minutes$train_steps =~ ^[0.]+$ ]] ||
    fail "a training of $train_minutes$train_steps minutes or steps is none; give more than 0."
names_of_sets train_set valid_set test_sets
# Each machine would time steps of its own in the folder of all, and find another length.
[[ -z $train_minutes$train_steps ]] || ((num_nodes == 1)) ||
    fail "--train_minutes and --train_steps are for one machine; with --num_nodes $num_nodes leave" \
        'them empty, and give --train_args "--max_epoch N".'
for name in ssl_config train_config; do
    [[ -n ${!name} || ($name == ssl_config && -n $semantic_tokens) ]] || fail "--$name is not given."
done
files train_config parallel
checkpoint_name inference_model
one_of inference_precision float32 bfloat16 float16 float64
data_words=() train_words=() factors=() metric_words=()
split_words local_data_opts "$local_data_opts" data_words
for name in "${RECIPE_OPTIONS[@]}"; do data_words+=("--$name" "${!name}"); done
split_words train_args "$train_args" train_words
split_words speed_perturb_factors "$speed_perturb_factors" factors
split_words metrics "$metrics" metric_words
for factor in "${factors[@]}"; do
    is_number "$factor" ||
        fail "--speed_perturb_factors: '$factor' is not a speed; give numbers with blanks between, as" \
            "\"0.9 1.0 1.1\"."
done
awk 'BEGIN { for (i = 1; i < ARGC; i++) if (ARGV[i] < 0.5 || ARGV[i] > 2 || seen[ARGV[i] + 0]++) exit 1 }' \
    "${factors[@]}" ||
    fail "--speed_perturb_factors '$speed_perturb_factors': speeds are from 0.5 to 2, each given once."
scoring=(${recognizer:+--recognizer "$recognizer"} ${metrics:+--metrics "${metric_words[@]}"})
((${#scoring[@]} == 0)) || python -m espnet_stacodec.bin.check_scoring "${scoring[@]}" || exit 1

read -ra tests <<<"$test_sets"
# A development set may be the test set: each set is made once.
mapfile -t sets < <(printf '%s\n' "$train_set" "$valid_set" "${tests[@]}" | awk '!seen[$0]++')
sp=${speed_perturb_factors:+_sp}
all_sets=("${sets[@]}" ${sp:+"$train_set$sp"})
raw_lists=("${all_sets[@]/#/$dumpdir/raw/}")
raw_lists=("${raw_lists[@]/%//wav.scp}")
cluster=(${parallel:+--parallel "$parallel"})
if [[ -n $semantic_tokens ]]; then
    token_options=(--semantic_tokens "$semantic_tokens")
else
    token_options=(--config "$ssl_config" ${ssl_path:+--path_or_url "$ssl_path"}
        ${hub_revision:+--hub_revision "$hub_revision"})
fi
tokens_name=$(python -m espnet_stacodec.bin.extract_semantic "${token_options[@]}" \
    --tag_suffix "$other_set" --print_tag)
semantic_dir=$dumpdir/semantic/$tokens_name
token_lists=("${all_sets[@]/#/$semantic_dir/}")
token_lists=("${token_lists[@]/%//semantic.scp}")
features_of=() feature_lists=()
if [[ $keep_features == true ]]; then
    features_of=("$train_set$sp" "$valid_set")
    feature_lists=("${features_of[@]/#/$semantic_dir/}")
    feature_lists=("${feature_lists[@]/%//features/features.scp}")
fi
# Precomputed tokens are the same for each training set.
data_name=$tokens_name
[[ $data_name == *"$other_set" ]] || data_name+=$other_set
exp=$expdir/codec_${tag:-$(basename "$train_config" .yaml)_$data_name$sp}
stats=$expdir/codec_stats_$data_name$sp
# What another checkpoint than the best one, or another precision, gives has its name.
other_model=${inference_model:+_${inference_model%.pth}}
other_precision=_$inference_precision
[[ $inference_precision != float32 ]] || other_precision=
model=(--model "$exp" ${inference_model:+--model_file "$inference_model"})
coding=("${model[@]}" --precision "$inference_precision")
decode_dir=$exp/decode$other_model$other_precision
codes_dir=$exp/codes$other_model$other_precision
archive=$exp$other_model.zip
folders "$dumpdir" "$exp"

# other_speeds OPTION...: makes copies of the training set, or looks (--check) whether those that are
# there, under a name that does not say so, are of these speeds.
other_speeds() {
    [[ -z $sp ]] || python -m espnet_stacodec.bin.perturb_speed --factors "${factors[@]}" \
        --data_dir "$dumpdir/raw/$train_set" --out_dir "$dumpdir/raw/$train_set$sp" "$@"
}
if begin 1 "data preparation"; then
    local/data.sh --train_set "$train_set" --valid_set "$valid_set" --test_sets "$test_sets" \
        "${data_words[@]}"
fi
if begin 2 "format and filter audio"; then
    commands=()
    [[ $allow_commands == false ]] || commands=(--allow_commands)
    for name in "${sets[@]}"; do
        need 1 "data/$name/wav.scp"
        python -m espnet_stacodec.bin.format_audio --data_dir "data/$name" \
            --out_dir "$dumpdir/raw/$name" --min_seconds "$min_seconds" \
            --max_seconds "$max_seconds" --nj "$nj" "${cluster[@]}" "${commands[@]}"
    done
    other_speeds --nj "$nj" "${cluster[@]}"
fi
if begin 3 "semantic tokens: $tokens_name"; then
    need 2 "${raw_lists[@]}"
    need_own_gpus
    other_speeds --check
    python -m espnet_stacodec.bin.extract_semantic "${token_options[@]}" --tag_suffix "$other_set" \
        --dump_dir "$dumpdir/raw" --train_set "$train_set" --sets "${all_sets[@]}" \
        --out_dir "$dumpdir/semantic" --nj "$nj" --ngpu "$ngpu" "${cluster[@]}" \
        ${features_of:+--features_of "${features_of[@]}"}
fi

# Options of training, but for the folder it writes to.
train_options=(--config "$train_config" --semantic_tokenizer "$semantic_dir")
for kind in train valid; do
    if [[ $kind == train ]]; then name=$train_set$sp; else name=$valid_set; fi
    train_options+=("--${kind}_data_path_and_name_and_type" "$dumpdir/raw/$name/wav.scp,audio,sound"
        "--${kind}_data_path_and_name_and_type" "$semantic_dir/$name/semantic.scp,semantic,kaldi_ark")
    [[ $keep_features == false ]] || train_options+=("--${kind}_data_path_and_name_and_type"
        "$semantic_dir/$name/features/features.scp,features,kaldi_ark")
done
if begin 4 "statistics: $stats"; then
    need 2 "${raw_lists[@]}"
    need 3 "${token_lists[@]}" "${feature_lists[@]}"
    other_speeds --check
    python -m espnet_stacodec.bin.train "${train_options[@]}" --output_dir "$stats" \
        --collect_stats true --num_workers "$nj" "${train_words[@]}"
fi
if begin 5 "training: $exp"; then
    need 3 "${token_lists[@]}" "${feature_lists[@]}"
    need 4 "$stats"/{train,valid}/audio_shape
    need_gpus
    other_speeds --check
    mkdir -p "$exp"
    train_options+=(--train_shape_file "$stats/train/audio_shape"
        --valid_shape_file "$stats/valid/audio_shape" --ngpu "$ngpu" --num_nodes "$num_nodes"
        ${master_addr:+--dist_master_addr "$master_addr"})
    length=()
    if [[ -n $train_minutes$train_steps ]]; then
        planned=$(python -m espnet_stacodec.bin.plan_training --experiment "$exp" \
            ${train_minutes:+--train_minutes "$train_minutes"} ${train_steps:+--train_steps "$train_steps"} \
            -- "${train_options[@]}" "${train_words[@]}")
        mapfile -t length <<<"$planned"
    fi
    python -m espnet_stacodec.bin.train "${train_options[@]}" --output_dir "$exp" --resume true \
        "${length[@]}" "${train_words[@]}" 2>&1 | tee -a "$exp/train.log"
fi
if begin 6 "decoding and scores: $decode_dir"; then
    need 5 "$exp/config.yaml"
    need_own_gpus
    python -m espnet_stacodec.bin.decode "${coding[@]}" --dump_dir "$dumpdir/raw" \
        --semantic_dir "$semantic_dir" --sets "${tests[@]}" --out_dir "$decode_dir" \
        --nj "$inference_nj" --ngpu "$ngpu" "${cluster[@]}" "${scoring[@]}"
    python -m espnet_stacodec.bin.stacodec report "$exp" --set "${tests[0]}" \
        --decode "$(basename "$decode_dir")" ${inference_model:+--model_file "$inference_model"} \
        --dump_dir "$dumpdir/raw" --nj "$inference_nj" >/dev/null
fi
if begin 7 "export codes for ASR and SLU recipes: $codes_dir"; then
    need 5 "$exp/config.yaml"
    need_own_gpus
    python -m espnet_stacodec.bin.dump_codes "${coding[@]}" --dump_dir "$dumpdir/raw" \
        --semantic_dir "$semantic_dir" --sets "${sets[@]}" --out_dir "$codes_dir" \
        --nj "$inference_nj" --ngpu "$ngpu" "${cluster[@]}"
fi
if begin 8 "pack: $archive"; then
    need 5 "$exp/config.yaml"
    python -m espnet_stacodec.bin.pack "${model[@]}" --out "$archive"
fi
if begin 9 "upload"; then
    [[ -n $hub_repo ]] || fail "stage 9 uploads to a hub; say where with --hub_repo OWNER/NAME."
    need 5 "$exp/config.yaml"
    python -m espnet_stacodec.bin.upload "${model[@]}" --repo "$hub_repo"
fi

for made in "scores $decode_dir/RESULTS.md" "audio $decode_dir/<set>/wav" "codes $codes_dir" \
    "archive $archive" "page $decode_dir/report.html"; do
    path=${made#* }
    [[ -e ${path%/<set>*} ]] && printf 'run.sh: %-8s %s\n' "${made%% *}:" "$(absolute "$path")"
done
true
