#!/usr/bin/env bash
# Executes the flake where no Nix cache can be reached: Debian's nix, the
# stand-in of nix/offline for nixpkgs, packages from the npm registry.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v nix > /dev/null || {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nix-bin
}
export NIX_CONFIG='experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
flake-registry =
max-jobs = 2'
offline=(--override-input nixpkgs "path:$PWD/nix/offline" --no-write-lock-file)

nix flake metadata > /dev/null         # flake.nix and flake.lock parse ...
nix flake lock --no-update-lock-file   # ... and agree (needs no network when they do)
nix flake show "${offline[@]}" > /dev/null # every output of every system evaluates
nix flake check "${offline[@]}"        # builds and runs the checks of this system
nix run "${offline[@]}" .#sidereal -- --version
nix run "${offline[@]}" . -- --quick --run "$(mktemp -d)/run" > /dev/null
nix develop "${offline[@]}" -c node --version
