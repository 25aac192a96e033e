#!/usr/bin/env bash
# Measures this project and PyTorch on the CPU in turn, A B A B, and prints a table of ratios.
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: run.sh [--threads N] [--rounds N] [--repeats N] [--what attention,linear] [--prefix N,N,..] [--no-sharing] [--warm] [--out DIR]
  --threads N    threads of both sides (default 2); nothing is pinned
  --rounds N     rounds of one program call each (default 5)
  --repeats N    samples of each measurement in a call (default 5)
  --what LIST    attention, linear or both (default both)
  --prefix LIST  shared tokens of attention (default 1024,4096,16384)
  --no-sharing   attention also with a copy of the prefix for each sequence
  --warm         the same data in every call
  --out DIR      where the JSON Lines are kept (default: a temporary folder)
Environment: HYDRAGEN and KERNELS are the programs hydragen and Hydragen.Kernels (default: the Release builds in artifacts),
PYTHON is a Python that has torch 2.6 or newer (default python3).
TEXT
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
hydragen=${HYDRAGEN:-$root/artifacts/bin/Hydragen.Cli/release/hydragen}
kernels=${KERNELS:-$root/artifacts/bin/Hydragen.Kernels/release/Hydragen.Kernels}
python=${PYTHON:-python3}
threads=2 rounds=5 repeats=5 what=attention,linear modes=hydragen prefix=1024,4096,16384 out=
warm=() no_sharing=()
while [ $# -gt 0 ]; do
    case $1 in
        --no-sharing) no_sharing=(--no-sharing) modes=hydragen,copied; shift; continue ;;
        --warm) warm=(--warm); shift; continue ;;
        --threads | --rounds | --repeats | --what | --prefix | --out) [ $# -ge 2 ] || usage ;;
        *) usage ;;
    esac
    case $1 in
        --threads) threads=$2 ;;
        --rounds) rounds=$2 ;;
        --repeats) repeats=$2 ;;
        --what) what=$2 ;;
        --prefix) prefix=$2 ;;
        --out) out=$2 ;;
    esac
    shift 2
done
case $what in attention | linear | attention,linear | linear,attention) ;; *) usage ;; esac
for program in "$hydragen" "$kernels" "$python"; do
    command -v "$program" > /dev/null || { echo "run.sh: there is no program '$program'; see run.sh --help" >&2; exit 2; }
done
out=${out:-$(mktemp -d)}
mkdir -p "$out"
if compgen -G "$out/*.jsonl" > /dev/null; then echo "run.sh: '$out' already holds results" >&2; exit 2; fi

for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    if [[ $what == *attention* ]]; then
        "$hydragen" bench attention --protocol custom --batch 64 --prefix "$prefix" --suffix 128 --modes "$modes" \
            --threads "$threads" --repeats "$repeats" "${warm[@]}" --json > "$out/attention.$round.ours.jsonl" 2> "$out/attention.$round.ours.log"
        "$python" "$here/attention.py" --prefix "$prefix" --threads "$threads" --repeats "$repeats" "${no_sharing[@]}" "${warm[@]}" > "$out/attention.$round.pytorch.jsonl"
    fi
    if [[ $what == *linear* ]]; then
        "$kernels" linear --threads "$threads" --rounds "$repeats" "${warm[@]}" --json "$out/linear.$round.ours.jsonl" > "$out/linear.$round.ours.log"
        "$python" "$here/linear.py" --threads "$threads" --repeats "$repeats" "${warm[@]}" > "$out/linear.$round.pytorch.jsonl"
    fi
done
"$python" "$here/compare.py" "$out"
echo "The lines are in $out." >&2
