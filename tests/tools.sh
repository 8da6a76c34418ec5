#!/bin/sh
# Sees to it that the programs which only tests need are there: installs them as root, else names the command.
set -eu

packages=
need() { command -v "$1" >/dev/null 2>&1 || packages="$packages $2"; }
PATH="$PATH:/usr/sbin:/sbin"
need curl curl
need wrk wrk
need h2load nghttp2-client
need ip iproute2
need nft nftables
need setpriv util-linux
[ -z "$packages" ] && exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing for the tests:$packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 (a list of words)
    apt-get install -y -qq --no-install-recommends $packages >/dev/null
    exit 0
fi
echo "tests that need$packages will be skipped; an administrator installs them with: apt-get install$packages" >&2
