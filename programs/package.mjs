/**
 * Makes the package: `build` compiles to `dist`; `prepack` and `postpack` run around `npm pack`, which packs the manifest
 * of the published package in the place of the checkout's.
 *
 * In the checkout `sidereal/...` leads to the TypeScript sources, in the package to `dist`. npm packs `package.json` as
 * it stands, so it is replaced for as long as npm packs; a process that outlives an interrupted npm puts it back.
 */
import { spawn, spawnSync } from "node:child_process"
import { chmodSync, existsSync, globSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { minifySync } from "rolldown/utils"

const root = fileURLToPath(new URL("..", import.meta.url))
const manifestFile = join(root, "package.json")
const kept = join(root, ".package.checkout.json")
const dist = join(root, "dist")

const fail = (message) => {
  process.stderr.write(`${message}\n`)
  process.exit(1)
}

/** Puts the manifest of the checkout back; returns whether it was replaced. */
const restore = () => {
  if (!existsSync(kept)) return false
  renameSync(kept, manifestFile)
  return true
}

const compile = (...options) => {
  const compiler = join(root, "node_modules", "typescript", "bin", "tsc")
  const { status } = spawnSync(process.execPath, [compiler, "-p", "tsconfig.build.json", ...options], {
    cwd: root,
    stdio: ["ignore", 2, 2]
  })
  if (status !== 0) fail("the sources cannot be compiled; the messages stand above")
}

/**
 * Removes the white space of the compiled files and shortens their local names; functions and classes keep theirs, which
 * stack traces show.
 */
const condense = () => {
  for (const file of globSync(join(dist, "**", "*.js"))) {
    const text = readFileSync(file, "utf8")
    const { code, errors } = minifySync(file, text, {
      compress: false,
      mangle: { toplevel: false, keepNames: { function: true, class: true } },
      codegen: { removeWhitespace: true }
    })
    if (errors.length > 0) fail(`${file} cannot be condensed: ${errors[0].message}`)
    writeFileSync(file, code)
  }
}

/**
 * Compiles to `dist`. Published files have neither source maps, which lead nowhere without the sources, nor comments in
 * JavaScript, which stand in the declarations.
 */
const build = (published) => {
  const { name, version } = JSON.parse(readFileSync(manifestFile, "utf8"))
  rmSync(dist, { recursive: true, force: true })
  if (published) {
    compile("--removeComments", "--declaration", "false", "--declarationMap", "false", "--sourceMap", "false")
    compile("--emitDeclarationOnly", "--declarationMap", "false")
    condense()
    // Nothing of these folders is exported.
    for (const folder of [["bench"], ["programs", "commands"]]) {
      for (const file of globSync(join(dist, ...folder, "*.d.ts"))) rmSync(file)
    }
    // A file takes a block of the disk, also one that declares nothing, as those of modules with effects alone do.
    for (const file of globSync(join(dist, "**", "*.d.ts"))) {
      if (readFileSync(file, "utf8").trim() === "export {};") rmSync(file)
    }
  } else {
    compile()
  }
  // The programs read name and version from the folder above them.
  writeFileSync(join(dist, "package.json"), `${JSON.stringify({ name, version, type: "module" }, null, 2)}\n`)
  const cli = join(dist, "programs", "cli.js")
  chmodSync(cli, 0o755)
  const help = spawnSync(process.execPath, [cli, "--help"], { encoding: "utf8" })
  if (help.status !== 0) fail(`the compiled program cannot print its help: ${help.stderr}`)
  writeFileSync(join(dist, "programs", "help.txt"), help.stdout)
}

const compiled = (path) => `./dist/${path.replace(/^\.\//, "").replace(/\.ts$/, ".js")}`

/** Returns the manifest of the published package. */
const published = (manifest) => {
  const { allowScripts: _, devDependencies: __, overrides = {}, scripts: ___, ...rest } = manifest
  const exports = Object.fromEntries(
    Object.entries(manifest.exports).map(([path, target]) => [
      path,
      target === null || !target.endsWith(".ts") ? target : compiled(target)
    ])
  )
  const bin = Object.fromEntries(Object.entries(manifest.bin).map(([name, path]) => [name, compiled(path).slice(2)]))
  // Overrides do not hold in the tree of a dependent: packages that need them, and what only those use, are installed
  // by hand.
  const byHand = Object.keys(overrides).flatMap((name) => name === "@lancedb/lancedb" ? [name, "apache-arrow"] : [name])
  // npm leaves an optional package out where the Node that runs npm is too old for it, and the checkout brings its own Node:
  // there this one is required.
  const { "@effect/platform-node": platform, ...required } = manifest.dependencies
  const optional = { "@effect/platform-node": platform, ...manifest.optionalDependencies }
  const taken = Object.fromEntries(byHand.map((name) => [name, manifest.optionalDependencies[name]]))
  return {
    ...rest,
    exports,
    bin,
    dependencies: required,
    optionalDependencies: Object.fromEntries(Object.entries(optional).filter(([name]) => !byHand.includes(name))),
    peerDependencies: { ...manifest.peerDependencies, ...taken },
    peerDependenciesMeta: {
      ...manifest.peerDependenciesMeta,
      ...Object.fromEntries(byHand.map((name) => [name, { optional: true }]))
    }
  }
}

/** Starts a process that restores this manifest after a minute, in case npm ends before `postpack`. */
const guard = () =>
  spawn(
    process.execPath,
    [
      "-e",
      `const { renameSync, statSync } = require("node:fs")
const [, kept, manifest, made] = process.argv
setTimeout(() => { try { if (statSync(kept).mtimeMs === Number(made)) renameSync(kept, manifest) } catch {} }, 60_000)`,
      kept,
      manifestFile,
      String(statSync(kept).mtimeMs)
    ],
    { detached: true, stdio: "ignore" }
  ).unref()

const replaced = restore()
switch (process.argv[2]) {
  case "build":
    build(false)
    break
  case "prepack": {
    build(true)
    const text = readFileSync(manifestFile, "utf8")
    writeFileSync(kept, text)
    guard()
    writeFileSync(manifestFile, `${JSON.stringify(published(JSON.parse(text)), null, 2)}\n`)
    break
  }
  case "postpack":
    if (!replaced) fail("package.json was put back before npm had packed it; run `npm pack` again")
    break
  case "prepublishOnly":
    // npm sends the registry the manifest that it reads after `postpack`, which would be the checkout's.
    fail("publish the packed file: npm pack && npm publish ./sidereal-*.tgz")
    break
  default:
    fail("usage: package.mjs build | prepack | postpack")
}
