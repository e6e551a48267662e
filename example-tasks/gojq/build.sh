#!/bin/sh
# Builds gojq.wasm from Debian's source packages, without installing or changing anything.
set -eu
out=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq golang-github-itchyny-gojq-dev golang-github-itchyny-timefmt-go-dev \
  golang-github-mattn-go-isatty-dev golang-github-mattn-go-runewidth-dev \
  golang-github-rivo-uniseg-dev golang-golang-x-sys-dev golang-gopkg-yaml.v3-dev
for package in *.deb; do dpkg -x "$package" .; done
# Debian's source packages have the layout of a GOPATH.
GO111MODULE=off GOPATH=$work/usr/share/gocode GOTOOLCHAIN=local GOOS=wasip1 GOARCH=wasm \
  go build -trimpath -o "$out/gojq.wasm" github.com/itchyny/gojq/cmd/gojq
