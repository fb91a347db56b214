/**
 * Runs beside files of others: what is refused, and what a run touches.
 */
import { afterAll, assert, beforeAll, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { good, refused, sidereal } from "./CommandLine.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-runs-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
export const at = (...parts: ReadonlyArray<string>) => join(folder, ...parts)

/** Everything below a folder: hashes of files, targets of links. */
export const snapshot = (root: string): Map<string, string> => {
  const found = new Map<string, string>()
  const walk = (path: string) => {
    for (const name of readdirSync(path)) {
      const file = join(path, name)
      const info = lstatSync(file)
      if (info.isDirectory()) {
        found.set(relative(root, file), "folder")
        walk(file)
      } else {
        found.set(
          relative(root, file),
          info.isSymbolicLink()
            ? `-> ${readlinkSync(file)}`
            : createHash("sha256").update(readFileSync(file)).digest("hex")
        )
      }
    }
  }
  walk(root)
  return found
}

export const table = (users: number, events: number, from = 0) =>
  [
    "user_id,item_id,timestamp",
    ...Array.from({ length: users * events }, (_, i) => {
      const [user, event] = [Math.floor(i / events), i % events]
      return `u${user},i${(user * 3 + event) % 11},${1_000_000 + from + user * 100 + event}`
    })
  ].join("\n")

export const settings = {
  lsa: { width: 8 },
  tokenizer: { shape: { levels: 2, codes: 8 } },
  family: "flat",
  policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 16, batchTokens: 256, historyItems: 8 },
  sft: { epochs: 2, epochsPerValidation: 1, validationUsers: 10, validationBeams: 10, patience: 9 },
  grpo: { steps: 2, promptsPerStep: 4, groupSize: 4, stepsPerValidation: 1, validationUsers: 10, validationBeams: 10 },
  evaluation: { beams: 20 }
}
export const config = at("settings.json")
export const write = (name: string, value: unknown): string => {
  writeFileSync(at(name), typeof value === "string" ? value : JSON.stringify(value))
  return at(name)
}

beforeAll(() => {
  write("settings.json", settings)
  mkdirSync(at("shop"))
  writeFileSync(at("shop", "events.csv"), table(12, 6))
  writeFileSync(
    at("shop", "items.csv"),
    `item_id,title\n${
      Array.from({ length: 11 }, (_, i) =>
        `i${i},${["red", "blue", "green"][i % 3]} ${["pen", "cup", "bag", "hat"][i % 4]}`).join("\n")
    }`
  )
})

export const commands: ReadonlyArray<ReadonlyArray<string>> = [
  ["demo"],
  ["data"],
  ["embed"],
  ["tokenize"],
  ["tokenize", "--compare", "random,hash"],
  ["sft"],
  ["grpo"],
  ["evaluate"],
  ["recommend", "--user", "u1"],
  ["report"]
]
const reading = new Set(["evaluate", "recommend", "report"])

/** Commands on folders that are no runs, where a number of their turn is wanted. */
export const keptApart = (isTried: (turn: number) => boolean): void =>
  it("is kept apart by every command, wherever --run and --data point, with and without --fresh", async () => {
    // Data whose name is that of a run's log, a folder of somebody's work, and one with a manifest of something else.
    mkdirSync(at("logs"))
    const lines = table(12, 6).split("\n").slice(1).map((line) => {
      const [user, item, time] = line.split(",")
      return JSON.stringify({ kind: "view", user_id: user, item_id: item, timestamp: Number(time) })
    })
    writeFileSync(at("logs", "events.jsonl"), lines.join("\n"))
    mkdirSync(at("precious", "thesis"), { recursive: true })
    writeFileSync(at("precious", "thesis", "chapter1.txt"), "important")
    mkdirSync(at("site"))
    writeFileSync(at("site", "manifest.json"), JSON.stringify({ version: 1, name: "a site", icons: [] }))
    writeFileSync(at("site", "report.html"), "mine")
    symlinkSync(at("shop"), at("link"))
    symlinkSync(at("precious"), at("work"))
    const places = [
      "shop",
      "shop/events.csv",
      "link",
      "logs",
      "precious",
      "precious/thesis",
      "work",
      "site",
      ".",
      "link/../shop"
    ]
    const data = [undefined, "shop", "shop/events.csv", "link", "logs", "precious"]
    const before = snapshot(folder)
    let turn = 0
    for (const command of commands) {
      for (const fresh of [false, true]) {
        for (const run of places) {
          for (const source of data) {
            if (!isTried(turn++)) continue
            const args = [
              ...command,
              "--run",
              `${folder}/${run}`,
              ...(source === undefined ? [] : ["--data", `${folder}/${source}`]),
              ...(fresh ? ["--fresh"] : [])
            ]
            const { failure, tag } = await sidereal(...args)
            assert.include(
              ["NotOurs", "HoldsData", "Storage", "NoRun", "SettingsError"],
              tag,
              `${args.join(" ")}: ${failure}`
            )
          }
        }
      }
    }
    for (const source of ["shop", "shop/events.csv", "logs", "precious"]) {
      await sidereal("data", "inspect", at(source), "--run", at("precious"), "--fresh")
    }
    assert.deepStrictEqual(snapshot(folder), before)
    assert.include(
      await refused("NotOurs", "data", "--data", at("shop"), "--run", at("precious"), "--fresh"),
      "precious is not a run (it has no manifest.json of sidereal, but thesis); --fresh removes runs only"
    )
    assert.match(
      await refused("NotOurs", "sft", "--data", at("logs"), "--run", at("logs")),
      /logs holds files of something else \(events\.jsonl\); .*--run runs\/logs/
    )
  }, 240_000)

/** Runs of these places, from nothing to the end and anew. */
export const allThatIsTouched = (runs: ReadonlyArray<string>): void =>
  it("is all that a run and --fresh touch, in a folder of its own, in the data's, and behind a link", async () => {
    const outside = at("outside")
    mkdirSync(outside)
    writeFileSync(join(outside, "kept.txt"), "kept")
    mkdirSync(at("store"))
    symlinkSync(at("store"), at("elsewhere"))
    for (const run of runs) {
      const others = snapshot(folder)
      const args = ["--run", at(run), "--data", at("shop"), "--config", config]
      await good("demo", ...args)
      const foreign: ReadonlyArray<readonly [string, string]> = [
        ["notes.txt", "mine"],
        ["settings.json", "{}"],
        ["checkpoints/notes.txt", "mine"],
        ["checkpoints/sft-1-copy/tensors.safetensors", "mine"],
        ["checkpoints/backup-4/tensors.safetensors", "mine"],
        ["embeddings/keep.lance/data.bin", "mine"],
        ["laboratory/notes.json", "mine"],
        ["report.html.orig", "mine"]
      ]
      for (const [name, content] of foreign) {
        mkdirSync(join(at(run), name, ".."), { recursive: true })
        writeFileSync(join(at(run), name), content)
      }
      symlinkSync(outside, join(at(run), "checkpoints", "sft-999"))
      rmSync(join(at(run), "report.html"))
      symlinkSync(join(outside, "kept.txt"), join(at(run), "report.html"))
      for (const command of commands) await good(...command, ...args)
      await good("data", ...args, "--fresh")
      assert.isFalse(existsSync(join(at(run), "sids.json")))
      assert.deepStrictEqual(readdirSync(join(at(run), "checkpoints")).toSorted(), [
        "backup-4",
        "notes.txt",
        "sft-1-copy",
        "sft-999"
      ])
      await good("demo", ...args, "--fresh")
      const now = snapshot(folder)
      for (const [name, hash] of others) assert.strictEqual(now.get(name), hash, name)
      for (const [name, content] of foreign) {
        assert.strictEqual(readFileSync(join(at(run), name), "utf8"), content, name)
      }
      assert.isTrue(lstatSync(join(at(run), "checkpoints", "sft-999")).isSymbolicLink())
      symlinkSync(join(outside, "kept.txt"), join(at(run), "examples.json.partial"))
      assert.match(await refused("Storage", "evaluate", "--run", at(run)), /examples\.json: ELOOP: /)
      rmSync(join(at(run), "examples.json.partial"), { force: true })
      assert.strictEqual(readFileSync(join(outside, "kept.txt"), "utf8"), "kept")
      for (const command of reading) {
        const held = snapshot(at(run))
        await refused("SettingsError", command, "--run", at(run), "--fresh")
        assert.deepStrictEqual(snapshot(at(run)), held)
      }
    }
    await refused("HoldsData", "data", "--run", at("mine"), "--data", at("mine", "notes.txt"), "--fresh")
    rmSync(at("shop", "inner"), { recursive: true, force: true })
  }, 240_000)
