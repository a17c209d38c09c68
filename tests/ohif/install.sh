#!/usr/bin/env bash
# install.sh SUDO - Chromium from the distribution and OHIF as its npm package ships it, built, unpacked into .viewer/.
set -euo pipefail
version=3.13.2
here=$(cd "$(dirname "$0")/../.." && pwd)
"$here/tests/install_peers.sh" "${1:-}" chromium
[ -f "$here/.viewer/$version" ] && exit 0
command -v npm >/dev/null || "$here/tests/install_peers.sh" "${1:-}" npm
echo "Fetching OHIF $version (npm package @ohif/app, about 50 MB)"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
(cd "$temporary" && npm pack --silent "@ohif/app@$version" >/dev/null && tar xzf ./*.tgz)
rm -rf "$here/.viewer" && mkdir -p "$here/.viewer"
mv "$temporary/package/dist" "$here/.viewer/dist"
find "$here/.viewer/dist" -name '*.map' -delete
touch "$here/.viewer/$version"
