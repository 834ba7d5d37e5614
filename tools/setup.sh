#!/usr/bin/env bash
# Make .venv at the repository root with everything the recipes and tests need, once.
# Prints the folder of the environment's commands; all messages go to stderr.
# An active environment that already imports espnet_stacodec is used as it is.
set -euo pipefail

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) # a recipe may be reached through a link
venv=$root/.venv
stamp=$venv/setup-stamp # "incomplete", or the checksum of what was installed, and for which checkout
# What trainings, scores and probes load.
compiled="espnet_stacodec.tasks.stacodec, espnet2.tasks.mt, espnet2.tasks.slu, s3prl.nn, sklearn.linear_model"

say() { echo "tools/setup.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

# From /, so that the checkout itself, not being installed, is not taken for the package.
has_package() { # <python>; prints the package's file
    (cd / && "$1" -c 'import espnet_stacodec, importlib.util as util
print(espnet_stacodec.__file__)
raise SystemExit(util.find_spec("espnet2") is None)' 2>/dev/null)
}

# An environment's scripts and package are found by absolute paths: that of a checkout that was moved,
# or another one's, is of no use here.
is_own() {
    local package place
    read -r _ _ place <"$stamp" && [[ $place == "$root" ]] && return
    package=$(has_package "$venv/bin/python") && [[ $package -ef $root/espnet_stacodec/__init__.py ]]
}

# pyenv's shims are there even where they cannot run: a candidate is run before it is believed.
real_python() {
    "$1" -c 'import sys
if not (3, 12) <= sys.version_info < (3, 14): raise SystemExit(1)
print(sys.executable)' 2>/dev/null
}

candidates() {
    echo "${PYTHON:-python3.13}"
    printf '%s\n' python3.13 python3.12 python3
    if command -v pyenv >/dev/null; then
        find "$(pyenv root)/versions" -maxdepth 3 -path '*/bin/python3.1[23]' | sort -rV
    fi
    if command -v uv >/dev/null; then
        uv python find --managed-python --no-python-downloads '>=3.12,<3.14' 2>/dev/null || true
    fi
}

find_python() {
    local candidate
    if [[ -n ${PYTHON:-} ]] && ! real_python "$PYTHON" >/dev/null; then
        say "PYTHON=$PYTHON is not a Python 3.12 or 3.13 that runs; looking for another"
    fi
    while read -r candidate; do
        real_python "$candidate" && return
    done < <(candidates)
    fail "no Python 3.12 or 3.13 runs here; install one (e.g. \`apt install python3.12-venv\`," \
        "\`pyenv install 3.12\` or \`uv python install 3.12\`) or set PYTHON to its path."
}

# uv installs in half a minute what takes pip several; it stays inside the repository.
find_uv() { # <python>
    command -v uv && return
    local bin=$root/.venv-uv/bin
    if ! "$bin/uv" --version >/dev/null 2>&1; then
        rm -rf "$root/.venv-uv"
        { "$1" -m venv "$root/.venv-uv" && "$bin/python" -m pip install --quiet uv; } >&2 ||
            "$1" -m pip install --quiet --target "$root/.venv-uv" uv >&2 ||
            fail "uv could not be installed with $1; install it (\`pip install uv\`) and try again."
    fi
    echo "$bin/uv"
}

install() { # <checksum>
    local python uv
    python=$(find_python)
    uv=$(find_uv "$python")
    if [[ -e $stamp ]] && { [[ $(<"$stamp") == incomplete ]] || ! is_own; }; then
        rm -rf "$venv"
    fi
    mkdir -p "$venv"
    echo incomplete >"$stamp"
    if ! real_python "$venv/bin/python" >/dev/null; then
        say "making .venv with $python"
        "$uv" venv --quiet --allow-existing --python "$python" "$venv" >&2
    fi
    say "installing (6.5 GB with PyTorch; half a minute from a warm cache, else the download)"
    (cd "$root" && "$uv" pip install --quiet --python "$venv/bin/python" \
        --constraint tools/constraints.txt --override tools/overrides.txt --editable '.[demo,mini,scores,test]') >&2 ||
        fail "the installation failed; read the lines above (pesq and pyworld need a C++" \
            "compiler and Python's headers, everything needs a package index), then run it again."
    # A recipe starts a hundred processes. Where Python may not write what it compiles, each of them
    # would compile thousands of modules again, for twenty seconds.
    local said
    said=$(cd / && env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -c "import $compiled" 2>&1) ||
        fail "what was installed cannot be loaded: ${said##*$'\n'}"
    echo "$1 $root" >"$stamp"
}

active=$(command -v python || true)
if [[ -n $active && ! $(dirname "$active") -ef $venv/bin ]] && package=$(has_package "$active"); then
    say "using the active environment of $active, which holds $package"
    dirname "$active"
    exit
fi
checksum=$(cat "$root/setup.py" "$root"/tools/{constraints,overrides}.txt | cksum)
is_installed() { [[ "$(cat "$stamp" 2>/dev/null) " == "$checksum "* ]] && is_own; }

if ! is_installed && [[ ! -w $root ]]; then # somebody else's checkout
    { [[ $(cat "$stamp" 2>/dev/null) != incomplete ]] && has_package "$venv/bin/python" >/dev/null; } ||
        fail "$root cannot be written to and has no complete .venv; let its owner run" \
            "tools/setup.sh, or activate an environment that holds espnet_stacodec."
    say "$root cannot be written to; its .venv is used as it is"
elif ! is_installed; then
    if command -v flock >/dev/null; then # a second run waits for the first
        exec 9>"$root/.venv-lock"
        flock 9
    fi
    if [[ ! -e $stamp ]] && has_package "$venv/bin/python" >/dev/null; then
        echo "$checksum $root" >"$stamp" # made by hand, complete
    fi
    is_installed || install "$checksum"
fi
echo "$venv/bin"
