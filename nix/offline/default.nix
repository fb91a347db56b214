# The few nixpkgs attributes that flake.nix uses, made from the host's own
# /bin/bash, coreutils, tar and npm (so: sandbox = false).  Only for checking
# the flake where no Nix cache can be reached; never a substitute for nixpkgs.
{
  system ? builtins.currentSystem,
  config ? { },
  overlays ? [ ],
}:
let
  hostPath = "/usr/local/bin:/usr/bin:/bin";

  runCommand =
    name: attrs: buildCommand:
    let
      tools = attrs.nativeBuildInputs or [ ];
      env = removeAttrs attrs [
        "meta"
        "passthru"
        "nativeBuildInputs"
      ];
    in
    derivation (
      {
        inherit name system buildCommand;
        outputs = [ "out" ]; # what `nix develop` dumps the environment to
        builder = "/bin/bash";
        args = [
          "-c"
          ''set -euo pipefail; eval "$buildCommand"''
        ];
        PATH = builtins.concatStringsSep ":" (map (tool: "${tool}/bin") tools ++ [ hostPath ]);
        __ignoreNulls = true;
      }
      // env
    )
    // (attrs.passthru or { })
    // {
      meta = attrs.meta or { };
    };

  fromNpm =
    spec: integrity:
    runCommand "${builtins.replaceStrings [ "@" "/" ] [ "-" "-" ] spec}.tgz"
      {
        outputHashMode = "flat";
        outputHash = integrity;
        impureEnvVars = [
          "http_proxy"
          "https_proxy"
          "no_proxy"
          "NPM_CONFIG_REGISTRY"
        ];
        NODE_EXTRA_CA_CERTS = "/etc/ssl/certs/ca-certificates.crt"; # also a CA of the machine's own
      }
      ''
        export HOME="$PWD" npm_config_cache="$PWD/cache" npm_config_update_notifier=false
        npm pack --silent --ignore-scripts ${spec} > /dev/null
        mv ./*.tgz "$out"
      '';

  nodeArch =
    {
      x86_64-linux = {
        name = "x64";
        integrity = "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==";
      };
      aarch64-linux = {
        name = "arm64";
        integrity = "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==";
      };
    }
    .${system} or {
      name = "none";
      integrity = "sha512-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
    };

  empty = name: runCommand name { } ''mkdir -p "$out/lib" "$out/bin"'';
in
rec {
  inherit runCommand system;
  runtimeShell = "/bin/bash";

  nodejs_24 = runCommand "nodejs-24.21.0" { } ''
    mkdir -p "$out/bin" "$out/lib/npm"
    tar -xzf ${fromNpm "node-linux-${nodeArch.name}@24.21.0" nodeArch.integrity} -C "$out" --strip-components=1
    tar -xzf ${fromNpm "npm@11.21.2" "sha512-7HPApk+AflMUavSseL1Pm6CnYqMIHk53x+KmuhqmTDqPkjPMgxIpTPcTqsE91EKNw4gFBJV9fnXiSdGm1DXq9A=="} -C "$out/lib/npm" --strip-components=1
    for tool in npm npx; do
      printf '#!/bin/sh\nexec %s/bin/node %s/lib/npm/bin/%s-cli.js "$@"\n' "$out" "$out" "$tool" > "$out/bin/$tool"
      chmod +x "$out/bin/$tool"
    done
  '';

  cacert = runCommand "cacert" { } ''
    mkdir -p "$out/etc/ssl/certs"
    cp -L /etc/ssl/certs/ca-certificates.crt "$out/etc/ssl/certs/ca-bundle.crt"
  '';

  stdenv = {
    hostPlatform = {
      inherit system;
      isLinux = builtins.match ".*-linux" system != null;
      isDarwin = builtins.match ".*-darwin" system != null;
    };
    cc.cc.lib = empty "gcc-lib";
  };

  # `nix develop` sources $stdenv/setup
  mkShell =
    attrs:
    let
      tools = attrs.packages or [ ];
    in
    runCommand "nix-shell" (
      removeAttrs attrs [ "packages" ]
      // {
        nativeBuildInputs = tools;
        stdenv = runCommand "stdenv" { } ''mkdir -p "$out"; : > "$out/setup"'';
      }
    ) ''echo "only for nix develop" > "$out"'';

  bashInteractive = runCommand "bash-interactive" { } ''mkdir -p "$out/bin"; ln -s /bin/bash "$out/bin/bash"'';
  git = runCommand "git" { } ''mkdir -p "$out/bin"; ln -s /usr/bin/git "$out/bin/git"'';
}
