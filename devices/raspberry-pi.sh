#!/usr/bin/env bash
# Prepares a Raspberry Pi for the jobs of lite-toolkit. Read it, then run it there as the user who logs in:
#
#     scp raspberry-pi.sh raspberry-pi-4: && ssh -t raspberry-pi-4 bash raspberry-pi.sh
#
# With sudo it installs three packages of Raspberry Pi OS, where they are missing; a LiteRT runtime goes into the virtual
# environment ~/lite-toolkit, which the profiles name. Nothing else is changed. It may be run again, for newer versions.
set -euo pipefail

environment=$HOME/lite-toolkit
packages=(python3-venv python3-numpy python3-pil)
runtime=ai-edge-litert
if [ "$(dpkg --print-architecture)" = armhf ]; then
    # The only runtime with wheels for 32 bits, up to Python 3.11 (Raspberry Pi OS "bookworm").
    runtime=tflite-runtime
fi

if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
    sudo apt-get update
    sudo apt-get install --yes --no-install-recommends "${packages[@]}"
fi
if [ ! -x "$environment/bin/python3" ]; then
    python3 -m venv --system-site-packages "$environment"
fi
"$environment/bin/python3" -m pip install --upgrade "$runtime"
"$environment/bin/python3" - <<'CHECK'
import sys
import numpy, PIL
try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter
print("ready:", sys.executable, "with numpy", numpy.__version__, "and Pillow", PIL.__version__)
CHECK
