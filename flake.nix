{
  description = "Sidereal: generative recommendation in TypeScript on Effect";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      # no x86_64-darwin: onnxruntime-node has no binary for it
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];
      forSystems =
        make:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = make system;
          }) systems
        );
      pkgsFor = forSystems (
        system:
        import nixpkgs {
          inherit system;
          config = { };
          overlays = [ ];
        }
      );
    in
    {
      packages = forSystems (system: {
        default = import ./nix/package.nix { pkgs = pkgsFor.${system}; };
      });

      apps = forSystems (
        system:
        let
          app = program: description: {
            type = "app";
            program = "${self.packages.${system}.default}/bin/${program}";
            meta = { inherit description; };
          };
        in
        {
          default = app "sidereal-demo" "the whole pipeline on the generated shop";
          sidereal = app "sidereal" "every command";
        }
      );

      devShells = forSystems (
        system:
        let
          pkgs = pkgsFor.${system};
        in
        {
          default = pkgs.mkShell {
            packages = [
              pkgs.nodejs_24
              pkgs.git
            ];
            # what onnxruntime-node's install script would fetch during `npm ci`
            ONNXRUNTIME_NODE_INSTALL = "skip";
          };
        }
      );

      checks = forSystems (
        system:
        let
          package = self.packages.${system}.default;
          run = pkgsFor.${system}.runCommand;
        in
        {
          inherit package;
          help = run "sidereal-help" { } ''
            ${package}/bin/sidereal --help > "$out"
          '';
          demo = run "sidereal-quick-demo" { } ''
            export HOME="$PWD"
            ${package}/bin/sidereal demo --quick --run "$PWD/run" --json > "$out"
            test -s "$PWD/run/report.html"
          '';
        }
      );
    };
}
