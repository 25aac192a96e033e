#!/usr/bin/env bash
# Measures generation of a random Llama by this project and by llama.cpp on the CPU in turn, A B C A B C, and prints a table.
set -euo pipefail

usage() {
    cat >&2 <<'TEXT'
usage: llama.sh [--threads N] [--rounds N] [--model SIZE] [--batch n,n,..] [--prefix n,n,..] [--new-tokens N] [--out DIR]
  --threads N       threads of both sides (default 2); nothing is pinned
  --rounds N        rounds (default 3)
  --model SIZE      layers,hidden,heads,kvHeads,ff,vocab (default 12,768,12,4,2048,32000)
  --batch LIST      sequences behind one prompt, ascending (default 1,8,32,64)
  --prefix LIST     tokens of the shared prompt (default 1024,4096)
  --new-tokens N    new tokens of each sequence (default 32)
  --out DIR         where the JSON Lines are kept (default: a temporary folder)
Environment: HYDRAGEN is the program hydragen (default: the Release build in artifacts), LLAMA is llama-batched-bench,
PYTHON is a Python that has numpy and gguf (default python3).
TEXT
    exit 2
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
hydragen=${HYDRAGEN:-$root/artifacts/bin/Hydragen.Cli/release/hydragen}
llama=${LLAMA:-llama-batched-bench}
python=${PYTHON:-python3}
threads=2 rounds=3 model=12,768,12,4,2048,32000 batch=1,8,32,64 prefix=1024,4096 new_tokens=32 out=
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
        --threads) threads=$2 ;;
        --rounds) rounds=$2 ;;
        --model) model=$2 ;;
        --batch) batch=$2 ;;
        --prefix) prefix=$2 ;;
        --new-tokens) new_tokens=$2 ;;
        --out) out=$2 ;;
        *) usage ;;
    esac
    shift 2
done
for program in "$hydragen" "$llama" "$python"; do
    command -v "$program" > /dev/null || { echo "llama.sh: there is no program '$program'; see llama.sh --help" >&2; exit 2; }
done
out=${out:-$(mktemp -d)}
mkdir -p "$out"
if compgen -G "$out/*.jsonl" > /dev/null; then echo "llama.sh: '$out' already holds results" >&2; exit 2; fi

context=$((${prefix##*,} + ${batch##*,} * new_tokens))
for type in q8_0 bf16; do "$python" "$here/random_gguf.py" "$model" "$type" "$context" "$out/$type.gguf"; done
for round in $(seq "$rounds"); do
    echo "round $round of $rounds" >&2
    "$hydragen" bench generate --random-model "$model" --compute-type bf16 --batch "$batch" --prefix "$prefix" --new-tokens "$new_tokens" \
        --modes hydragen --repeats 1 --threads "$threads" --json > "$out/generate.$round.ours.jsonl" 2> "$out/generate.$round.ours.log"
    for type in q8_0 bf16; do
        for length in ${prefix//,/ }; do
            # Sharing the prompt needs one KV memory for all sequences.
            "$llama" -m "$out/$type.gguf" -c $((length + ${batch##*,} * new_tokens)) -npp "$length" -ntg "$new_tokens" -npl "$batch" -pps -kvu -fa on \
                -t "$threads" -tb "$threads" --output-format jsonl 2>> "$out/generate.$round.llama-$type.log" | grep -o '{.*}'
        done > "$out/generate.$round.llama-$type.jsonl"
    done
done
rm "$out/q8_0.gguf" "$out/bf16.gguf"
"$python" "$here/compare.py" "$out"
echo "The lines are in $out." >&2
