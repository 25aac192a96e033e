#!/usr/bin/env bash
# Measures this project and PyTorch on one NVIDIA GPU in turn, A B A B, on the published configurations, and prints tables of ratios.
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: run.sh [--rounds N] [--repeats N] [--rows 1,6,10] [--no-copies] [--out DIR]
  --rounds N     rounds of one program call each (default 2)
  --repeats N    samples of each measurement in a call (default 5)
  --rows LIST    configurations that PyTorch measures, 1 to 10 (default: all)
  --no-copies    leave out the form in which every sequence has a copy of the prefix
  --out DIR      where the JSON Lines are kept (default: a temporary folder)
Environment: HYDRAGEN is the program hydragen (default: the Release build in artifacts), PYTHON is a Python that has torch 2.6 or newer
with CUDA (default python3).
TEXT
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
hydragen=${HYDRAGEN:-$root/artifacts/bin/Hydragen.Cli/release/hydragen}
python=${PYTHON:-python3}
rounds=2 repeats=5 out='' modes=hydragen,nodes,sequences,copied
options=()
while [ $# -gt 0 ]; do
    case $1 in
        --no-copies) options+=(--no-copies) modes=hydragen,nodes,sequences; shift; continue ;;
        --rounds | --repeats | --rows | --out) [ $# -ge 2 ] || usage ;;
        *) usage ;;
    esac
    case $1 in
        --rounds) rounds=$2 ;;
        --repeats) repeats=$2 ;;
        --rows) options+=(--rows "$2") ;;
        --out) out=$2 ;;
    esac
    shift 2
done
for program in "$hydragen" "$python"; do
    command -v "$program" > /dev/null || { echo "run.sh: there is no program '$program'; see run.sh --help" >&2; exit 2; }
done
out=${out:-$(mktemp -d)}
mkdir -p "$out"
if compgen -G "$out/*.jsonl" > /dev/null; then echo "run.sh: '$out' already holds results" >&2; exit 2; fi
outputs=$(mktemp -d)
trap 'rm -rf "$outputs"' EXIT

for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    "$hydragen" bench attention --device cuda --protocol published --modes "$modes" --repeats "$repeats" --outputs "$outputs" --json \
        > "$out/published.$round.ours.jsonl" 2> "$out/published.$round.ours.log" || { tail -n 3 "$out/published.$round.ours.log" >&2; exit 1; }
    "$python" "$here/attention.py" --repeats "$repeats" --outputs "$outputs" "${options[@]}" > "$out/published.$round.pytorch.jsonl"
done
"$python" "$here/compare.py" "$out"
echo "The lines are in $out." >&2
