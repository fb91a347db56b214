# Sidereal runs from its TypeScript sources: the package is the sources, the
# packages of package-lock.json, and two wrappers.  The sources must not lie
# below a node_modules folder, where Node refuses to strip types.
{ pkgs }:
let
  nodejs = pkgs.nodejs_24;
  manifest = builtins.fromJSON (builtins.readFile ../package.json);
  pname = manifest.name;
  inherit (pkgs.stdenv.hostPlatform) isLinux;

  # only what runs: a change elsewhere rebuilds nothing
  source = builtins.path {
    name = "${pname}-source";
    path = ../.;
    filter =
      path: _type:
      let
        below = builtins.substring (builtins.stringLength (toString ../.) + 1) (-1) path;
        top = builtins.head (builtins.split "/" below);
      in
      builtins.elem top [
        "src"
        "layers"
        "programs"
        "bench"
        "package.json"
      ];
  };

  modules = import ./npm-modules.nix {
    inherit pkgs nodejs pname;
    manifestFile = ../package.json;
    lockFile = ../package-lock.json;
    # onnxruntime-node ships every platform's libraries (225 MiB)
    prune = ''
      for folder in node_modules/onnxruntime-node/bin/napi-v*/*/*; do
        case "$folder" in
          */"$(node -p 'process.platform + "/" + process.arch')") ;;
          *) rm -rf "$folder" ;;
        esac
      done
    '';
  };

  libraryPath =
    if isLinux then
      ''export LD_LIBRARY_PATH="${pkgs.stdenv.cc.cc.lib}/lib''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"''
    else
      ":";
in
pkgs.runCommand "${pname}-${manifest.version}"
  {
    meta = {
      inherit (manifest) description;
      mainProgram = pname;
    };
  }
  ''
    lib="$out/lib/${pname}"
    mkdir -p "$lib" "$out/bin"
    cp -R ${source}/. "$lib/"
    chmod -R u+w "$lib"
    ln -s ${modules}/node_modules "$lib/node_modules"
    command() {
      cat > "$out/bin/$1" <<END
    #!${pkgs.runtimeShell}
    ${builtins.replaceStrings [ "$" ] [ "\\$" ] libraryPath}
    exec ${nodejs}/bin/node "$lib/programs/cli.ts" $2 "\$@"
    END
      chmod +x "$out/bin/$1"
    }
    command ${pname} ""
    command ${pname}-demo demo
  ''
