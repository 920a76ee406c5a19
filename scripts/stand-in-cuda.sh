#!/usr/bin/env bash
# Runs a command with ONNX Runtime's CUDA provider on a card that computes nothing: scripts/stand-in-cuda.sh COMMAND...
#
# The provider is the real one, out of its Python wheel; what stands in for NVIDIA's libraries is compiled from
# test/cuda/stand-in. Both go to a cache folder. When they cannot be had, the command still runs, with the reason in
# FLOWSTEP_NO_CUDA.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source="$root/test/cuda/stand-in"
cache="${FLOWSTEP_CUDA:-${XDG_CACHE_HOME:-$HOME/.cache}/flowstep/cuda}"
wheel=$(sed -n "s/^export const ORT_GPU_WHEEL = '\(.*\)';$/\1/p" "$root/src/trainer/runtime/cuda-parts.ts")
provider="$cache/${wheel//[^a-z0-9.]/-}"
libraries="$cache/stand-in"
compiler="${CC:-cc}"
python="${FLOWSTEP_PYTHON:-python3}"
reason=''

say() { printf 'stand-in-cuda: %s\n' "$1" >&2; }

# The wheel is taken as it is: its Python part is not used, so any Python may fetch it, and one without pip gets it.
fetch_provider() {
  local work="$provider.new"
  rm -rf "$work"
  mkdir -p "$work"
  if ! "$python" -m pip --version >/dev/null 2>&1; then
    "$python" -m venv "$work/venv" >&2 || return 1
    python="$work/venv/bin/python"
  fi
  "$python" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 -d "$work" "$wheel" >&2 &&
    "$python" -m zipfile -e "$work"/*.whl "$work/packages" &&
    rm -rf "$work"/*.whl "$work/venv" && mv "$work" "$provider" && say "the provider is in $provider"
}

# A library with the given symbols under the version that the provider asks for, where it asks for one.
compile() { # LIBRARY SOURCE [versioned]
  local options=(-shared -fPIC -O1 -Wall -Wextra -Werror -o "$libraries.new/$1" "$source/$2" "-Wl,-soname,$1")
  if [ "$1" != libcudart.so.13 ]; then options+=(-L"$libraries.new" -l:libcudart.so.13); fi
  if [ -n "${3:-}" ]; then
    echo "$1 { global: *; };" >"$libraries.new/$1.map"
    options+=("-Wl,--version-script=$libraries.new/$1.map")
  fi
  "$compiler" "${options[@]}"
}

compile_all() {
  rm -rf "$libraries.new"
  mkdir -p "$libraries.new"
  compile libcudart.so.13 runtime.c versioned &&
    compile libcublas.so.13 cublas.c versioned &&
    compile libcublasLt.so.13 cublaslt.c versioned &&
    compile libcudnn.so.9 cudnn.c &&
    compile libcuda.so.1 driver.c &&
    compile libcurand.so.10 empty.c &&
    compile libnvrtc.so.13 empty.c &&
    rm -rf "$libraries" && mv "$libraries.new" "$libraries"
}

if [ "$(uname -sm)" != 'Linux x86_64' ]; then
  reason='the stand-in for a card is for Linux on x64'
elif ! command -v "$compiler" >/dev/null; then
  reason="there is no C compiler ($compiler) to make the stand-in with"
elif [ ! -d "$provider" ] && ! { command -v "$python" >/dev/null && fetch_provider; }; then
  reason="$wheel could not be downloaded with $python and pip"
elif [ ! -d "$libraries" ] || [ -n "$(find "$source" -newer "$libraries")" ]; then
  compile_all || reason='the stand-in could not be compiled'
fi

if [ -n "$reason" ]; then
  say "$reason"
  export FLOWSTEP_NO_CUDA="$reason"
else
  export FLOWSTEP_ORT_CUDA="$provider/packages/onnxruntime/capi"
  export FLOWSTEP_CUDA_LIBRARIES="$libraries"
  export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
fi
[ $# -eq 0 ] || exec "$@"
