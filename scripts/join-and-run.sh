#!/bin/sh
# Joins the parts of scripts/pack-cuda.ts that lie beside this script, unpacks them, and measures. Options are those of
# bench/cuda-rows.ts. The result is one JSON file; set FLOWSTEP_WORK to keep what was unpacked elsewhere.
#
#     sh join-and-run.sh --out cuda.json
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=${FLOWSTEP_WORK:-$here/flowstep-cuda}

if [ ! -x "$work/bin/node" ]; then
  (cd "$here" && sha256sum --quiet -c SHA256SUMS) || { echo 'parts are missing or damaged' >&2; exit 1; }
  mkdir -p "$work.partial"
  if [ -f "$here/flowstep-cuda.tar.gz.000" ]; then
    cat "$here"/flowstep-cuda.tar.gz.* | tar -xz -C "$work.partial"
  elif command -v xz >/dev/null; then
    cat "$here"/flowstep-cuda.tar.xz.* | tar -xJ -C "$work.partial"
  else
    cat "$here"/flowstep-cuda.tar.xz.* |
      python3 -c 'import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode="r|xz").extractall(sys.argv[1])' "$work.partial"
  fi
  mv "$work.partial" "$work"
fi

# NVIDIA's libraries are those of the Python packages nvidia-*, or of PyTorch, or the system's.
python=$(command -v python3 || true)
if [ -n "$python" ]; then
  folders=$("$python" - <<'PYTHON'
import glob, importlib.util, os
found = []
for name, inner in (("nvidia", "*/lib"), ("torch", "lib")):
    spec = importlib.util.find_spec(name)
    for root in (spec.submodule_search_locations or []) if spec else []:
        found += sorted(glob.glob(os.path.join(root, inner)))
print(os.pathsep.join(found))
PYTHON
)
  FLOWSTEP_CUDA_LIBRARIES=${FLOWSTEP_CUDA_LIBRARIES:-$folders}
  export FLOWSTEP_CUDA_LIBRARIES
  if "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)'; then
    BENCH_PYTHON=${BENCH_PYTHON:-$python}
    export BENCH_PYTHON
  fi
fi
if [ -d "$work/capi" ]; then
  FLOWSTEP_ORT_CUDA=${FLOWSTEP_ORT_CUDA:-$work/capi}
  export FLOWSTEP_ORT_CUDA
fi
exec "$work/bin/node" "$work/app/cuda-rows.mjs" "$@"
