#!/usr/bin/env bash
# Packs the command and the tests of CUDA for a Linux machine with an NVIDIA GPU and no .NET SDK: one archive, one runtime for all.
# usage: eng/pack-gpu.sh ARCHIVE.tar.xz [RUNTIME_IDENTIFIER]
# There:  tar -xJf ARCHIVE.tar.xz && hydragen-gpu/hydragen doctor && hydragen-gpu/Hydragen.Cuda.Tests
#         hydragen-gpu/Hydragen.Models.Tests -class Hydragen.Models.Tests.DeviceTests
#         hydragen-gpu/Hydragen.Cli.Tests -class Hydragen.Cli.Tests.DeviceTests
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
archive=$(realpath -m "$1") runtime=${2:-linux-x64}
cd "$(dirname "$0")/.."
export DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for project in src/Hydragen.Cli tests/Hydragen.Cuda.Tests tests/Hydragen.Models.Tests tests/Hydragen.Cli.Tests; do
    dotnet publish "$project" -c Release -r "$runtime" --self-contained -p:ArtifactsPath="$work/build" -o "$work/hydragen-gpu"
done
mkdir -p "$(dirname "$archive")"
tar -C "$work" -c hydragen-gpu | xz -T0 -6 > "$archive"
ls -l "$archive"
