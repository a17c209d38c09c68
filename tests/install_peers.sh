#!/usr/bin/env bash
# install_peers.sh SUDO PACKAGE... - installs the distribution's packages that are missing; touches nothing when all are there.
set -euo pipefail
sudo=$1; shift
missing=()
for package in "$@"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
command -v apt-get >/dev/null || { echo "Please install by hand: ${missing[*]} (no apt-get on this machine)"; exit 1; }
echo "Installing the programs the tests speak to${sudo:+ (with sudo)}: ${missing[*]}"
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
