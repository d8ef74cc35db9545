# What the scripts that run these suites share; to be sourced.
here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
crate=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$crate"

skip() {
    echo "${here#"$crate"/}: skipped: $1"
    [ "${CI:-}" = true ] && [ -z "${may_skip:-}" ] && exit 1
    exit "${failed:-0}"
}

# All that is made goes where cargo puts what it makes, whose relative folder is from here too.
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)

if [ -z "${MODELTAP_BIN:-}" ]; then
    cargo build --release --quiet
    export MODELTAP_BIN="$target/release/modeltap"
fi

# Installs what the package-lock.json of a folder names, into that folder, where alone its files can
# find it. Whole or not at all.
npm_packages() {
    local folder=$1
    command -v node >/dev/null && command -v npm >/dev/null || skip "there is no Node with npm"
    node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || skip "Node 20 or newer is needed"
    local mark
    mark=$(node -p 'require("crypto").createHash("sha256").update(fs.readFileSync(process.argv[1])).update(process.version).digest("hex").slice(0, 16)' "$folder/package-lock.json")
    mark="$folder/node_modules/.complete-$mark"
    [ -e "$mark" ] && return
    # What it says is shown where it matters: a skip is one line.
    local log="$target/npm-$(basename "$folder").log"
    npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel error >"$log" 2>&1 || {
        [ "${CI:-}" != true ] || cat "$log"
        skip "the packages could not be installed; $log says why"
    }
    touch "$mark"
}

# Makes an environment of the packages that a list names, in cargo's folder, and sets `venv` to it.
# Whole or not at all.
python_packages() {
    local list=$1 python mark log
    python=$(command -v python3 || command -v python) || skip "there is no Python"
    "$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        skip "Python 3.10 or newer with venv is needed"
    mark=$("$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read() + sys.version.encode()).hexdigest()[:16])' "$list")
    venv="$target/$(basename "$here")-$mark"
    [ -e "$venv/complete" ] && return
    rm -rf "$venv"
    # What it says is shown where it matters: a skip is one line.
    log="$venv.log"
    { "$python" -m venv "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
            --requirement "$list"; } >"$log" 2>&1 || {
        [ "${CI:-}" != true ] || cat "$log"
        skip "the packages could not be installed; $log says why"
    }
    touch "$venv/complete"
}
