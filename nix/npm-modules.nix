# node_modules from package-lock.json alone: one fixed-output derivation for
# every locked package, pinned by the lock file's own `integrity`, then an
# offline `npm ci`.  No hash besides the lock file's, and no download address:
# npm itself asks the registry it is configured for.
{
  pkgs,
  nodejs,
  manifestFile, # package.json
  lockFile, # package-lock.json (version 2 or 3)
  pname,
  prune ? "", # shell, run beside node_modules once it is installed
}:
let
  inherit (builtins)
    all
    elem
    elemAt
    filter
    fromJSON
    head
    isList
    isString
    length
    mapAttrs
    readFile
    replaceStrings
    split
    substring
    toJSON
    ;
  lock = fromJSON (readFile lockFile);

  # Nix system -> what npm calls it
  target =
    {
      x86_64-linux = {
        os = "linux";
        cpu = "x64";
        libc = "glibc";
      };
      aarch64-linux = {
        os = "linux";
        cpu = "arm64";
        libc = "glibc";
      };
      aarch64-darwin = {
        os = "darwin";
        cpu = "arm64";
      };
    }
    .${pkgs.stdenv.hostPlatform.system};

  # npm's rule for `os`, `cpu` and `libc`: "!x" excludes, plain names include.
  allows =
    module: field:
    let
      value = module.${field} or [ ];
      listed = if isList value then value else [ value ];
      here = target.${field} or "";
      plain = filter (word: substring 0 1 word != "!") listed;
    in
    !(elem "!${here}" listed) && (plain == [ ] || elem here plain || elem "any" plain);
  wanted =
    module:
    all (allows module) [
      "os"
      "cpu"
      "libc"
    ]
    && !(module.dev or false);

  # "node_modules/a/node_modules/@s/b" -> "@s/b"; an alias says its own name
  nameOf =
    path: module:
    let
      parts = filter isString (split "node_modules/" path);
    in
    module.name or (elemAt parts (length parts - 1));

  tarball =
    path: module:
    let
      name = nameOf path module;
      certificates = "${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt";
    in
    pkgs.runCommand
      "npm-${replaceStrings [ "@" "/" "+" ] [ "" "-" "-" ] "${name}-${module.version}"}.tgz"
      {
        nativeBuildInputs = [ nodejs ];
        outputHashMode = "flat";
        outputHashAlgo = null; # an SRI hash names its algorithm
        outputHash = head (filter isString (split " +" module.integrity));
        impureEnvVars = [
          "http_proxy"
          "https_proxy"
          "all_proxy"
          "no_proxy"
          "NPM_CONFIG_REGISTRY"
        ];
        SSL_CERT_FILE = certificates;
        NODE_EXTRA_CA_CERTS = certificates;
        preferLocalBuild = true;
        spec = "${name}@${module.version}";
      }
      ''
        export HOME="$PWD/home" npm_config_cache="$PWD/cache" npm_config_update_notifier=false
        mkdir -p "$HOME" pack
        npm pack --silent --ignore-scripts --pack-destination pack "$spec" > /dev/null
        mv pack/*.tgz "$out"
      '';

  # The root, links, workspaces and bundled packages have nothing to download.
  local =
    path: module:
    path == ""
    || (module.link or false)
    || (module.inBundle or false)
    || length (split "node_modules/" path) == 1;

  offlineLock = lock // {
    packages = mapAttrs (
      path: module:
      if local path module || !(wanted module) then
        module
      else if !(module ? integrity) then
        throw "package-lock.json: ${path} has no integrity"
      else
        module // { resolved = "file:${tarball path module}"; }
    ) lock.packages;
  };
in
assert lock.lockfileVersion >= 2;
pkgs.runCommand "${pname}-node-modules"
  {
    nativeBuildInputs = [ nodejs ];
    passAsFile = [ "lockText" ];
    lockText = toJSON offlineLock;
    npmFlags =
      "--os=${target.os} --cpu=${target.cpu}"
      + (if target ? libc then " --libc=${target.libc}" else "")
      + " --omit=dev";
  }
  ''
    export HOME="$PWD/home" npm_config_cache="$PWD/cache" npm_config_update_notifier=false
    mkdir -p "$HOME" work
    cd work
    cp ${manifestFile} package.json
    cp "$lockTextPath" package-lock.json
    npm install --no-save --offline --ignore-scripts --no-audit --no-fund --no-progress $npmFlags
    # npm's own record names every tarball and would keep them all alive
    rm -f node_modules/.package-lock.json
    ${prune}
    mkdir -p "$out"
    mv node_modules "$out/node_modules"
  ''
