#!/usr/bin/env bash
# Prepares a Coral Dev Board, or a Dev Board Mini, for the jobs of lite-toolkit. Read it, then run it there:
#
#     scp coral-dev-board.sh coral-dev-board: && ssh -t coral-dev-board bash coral-dev-board.sh
#
# With sudo it installs four packages from the sources that Mendel Linux is set up with, where they are missing. Nothing
# else is changed. It may be run again.
set -euo pipefail

packages=(python3-numpy python3-pil python3-tflite-runtime libedgetpu1-std)

if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    sudo apt-get update
    sudo apt-get install --yes --no-install-recommends "${packages[@]}"
fi
python3 - <<'CHECK'
import sys
import numpy, PIL, tflite_runtime
from tflite_runtime.interpreter import load_delegate
load_delegate("libedgetpu.so.1")
versions = (sys.executable, tflite_runtime.__version__, numpy.__version__, PIL.__version__)
print("ready: %s with tflite-runtime %s, numpy %s and Pillow %s; the Edge TPU answers" % versions)
CHECK
