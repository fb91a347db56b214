import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type NewSid } from "../../programs/Tokenize.ts"
import * as Manifest from "../../src/run/Manifest.ts"
import * as Safetensors from "../../src/storage/Safetensors.ts"
import { good, refused } from "./CommandLine.ts"

const folder = mkdtempSync(join(tmpdir(), "sidereal-new-texts-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const at = (...parts: ReadonlyArray<string>) => join(folder, ...parts)
const run = at("run")
const models = ["encoder.safetensors", "fusion.safetensors", "quantizer.safetensors"]

const settings = {
  lsa: { width: 8 },
  tokenizer: { shape: { levels: 2, codes: 8 } },
  family: "flat",
  policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 16, batchTokens: 256, historyItems: 8 },
  sft: { epochs: 1, epochsPerValidation: 1, validationUsers: 10, validationBeams: 10 },
  grpo: { steps: 1, promptsPerStep: 4, groupSize: 4, stepsPerValidation: 1, validationUsers: 10, validationBeams: 10 },
  evaluation: { beams: 20 }
}
const config = (name: string, more: object = {}): string => {
  writeFileSync(at(name), JSON.stringify({ ...settings, ...more }))
  return at(name)
}

const colours = ["red", "blue", "green", "black"]
const things = ["cotton shirt", "frying pan", "garden hose", "ink pen", "desk lamp"]
const titles = colours.flatMap((colour) => things.map((thing) => `${colour} ${thing}`))

const shop = (name: string, titleOf: (item: number) => string) => {
  mkdirSync(at(name))
  const lines = Array.from({ length: 24 * 6 }, (_, i) => {
    const [user, event] = [Math.floor(i / 6), i % 6]
    return `u${user},i${(user * 5 + event) % 20},${1_000_000 + user * 100 + event}`
  })
  writeFileSync(at(name, "events.csv"), ["user_id,item_id,timestamp", ...lines].join("\n"))
  writeFileSync(
    at(name, "items.csv"),
    ["item_id,title", ...titles.map((_, item) => `i${item},${titleOf(item)}`)].join("\n")
  )
  return at(name)
}

const texts = ["white cotton shirt", "red frying pan", "green cotton shirt"]
const ask = (of: string, ...more: ReadonlyArray<string>) =>
  good("tokenize", "--run", of, "--json", ...texts.flatMap((text) => ["--text", text]), ...more)
const answers = async (of: string): Promise<ReadonlyArray<NewSid>> => JSON.parse((await ask(of)).out)

const manifestOf = (of: string): Manifest.Manifest => JSON.parse(readFileSync(join(of, "manifest.json"), "utf8"))

/** Makes a copy of the run as an older version would have left it. */
const older = (name: string): string => {
  cpSync(run, at(name), { recursive: true })
  const manifest = manifestOf(at(name))
  const hashes = { ...manifest.hashes }
  for (const model of models) {
    rmSync(at(name, model))
    delete hashes[model]
  }
  writeFileSync(at(name, "manifest.json"), JSON.stringify({ ...manifest, hashes }))
  return at(name)
}

beforeAll(async () => {
  shop("shop", (item) => titles[item]!)
  await good("demo", "--run", run, "--data", at("shop"), "--config", config("settings.json"))
  await good("tokenize", "--run", run, "--compare", "random")
}, 240_000)

describe("tokenize --text", () => {
  it("gives a new title the codes of its neighbours, and tells whether the leaf is free", async () => {
    const found = await answers(run)
    assert.deepStrictEqual(found.map(({ text }) => text), texts)
    for (const { codes, free, nearest, sharedWith, sid } of found) {
      assert.strictEqual(codes.length, 2)
      assert.strictEqual(sid, `<a_${codes[0]}><b_${codes[1]}>`)
      assert.strictEqual(nearest.length, 5)
      const similarities = nearest.map(({ similarity }) => similarity)
      assert.deepStrictEqual(similarities, similarities.toSorted((a, b) => b - a))
      assert.strictEqual(free, sharedWith.length === 0)
    }
    assert.include(found[0]!.nearest[0]!.title, "cotton shirt")
    assert.include(found[1]!.nearest[0]!.title, "frying pan")
    const shown = (await good("tokenize", "--run", run, "--text", texts[0]!)).out
    assert.include(shown, `${texts[0]}: ${found[0]!.sid}, ${found[0]!.free ? "free" : "not free"}`)
    assert.include(shown, found[0]!.nearest[0]!.title)
  })

  it("keeps what it needs with hashes; a run of an older version makes it when it is asked for", async () => {
    for (const name of models) {
      assert.strictEqual(manifestOf(run).hashes[name], Manifest.hash([readFileSync(join(run, name))]))
    }
    const old = older("older")
    const sids = readFileSync(join(old, "sids.json"))
    await good("recommend", "--run", old, "--user", "u1")
    assert.isFalse(existsSync(join(old, models[0]!)))
    assert.deepStrictEqual(await answers(old), await answers(run))
    assert.deepStrictEqual(readFileSync(join(old, "sids.json")), sids)
    for (const name of models) assert.deepStrictEqual(readFileSync(join(old, name)), readFileSync(join(run, name)))
  })

  it("refuses models that do not lead to the run's SIDs", async () => {
    const old = older("other")
    const stored = JSON.parse(readFileSync(join(old, "sids.json"), "utf8"))
    stored.sids.reverse()
    writeFileSync(join(old, "sids.json"), JSON.stringify(stored))
    const manifest = manifestOf(old)
    const { ["sids.json"]: _, ...hashes } = manifest.hashes
    writeFileSync(join(old, "manifest.json"), JSON.stringify({ ...manifest, hashes }))
    const message = await refused("OtherModels", "tokenize", "--run", old, "--text", texts[0]!)
    assert.match(message, /gives \d+ of 20 items another SID than the run has/)
  })

  it("follows settings that change before SIDs are made", async () => {
    const changing = at("changing")
    await good("embed", "--run", changing, "--data", at("shop"), "--config", config("a.json"))
    const before = readFileSync(join(changing, models[0]!))
    const narrow = config("b.json", { lsa: { width: 3 }, fusion: { kind: "none" } })
    await good("tokenize", "--run", changing, "--data", at("shop"), "--config", narrow)
    assert.notDeepEqual(readFileSync(join(changing, models[0]!)), before)
    const { data } = Safetensors.decode(readFileSync(join(changing, models[0]!))).get("values")!
    assert.strictEqual(data.length, 3)
    assert.include((await answers(changing))[1]!.nearest[0]!.title, "frying pan")
  })

  it("says what is wrong with a text, and with items that have none", async () => {
    assert.match(
      await refused("UnknownText", "tokenize", "--run", run, "--text", "red pen", "--text", "zzz"),
      /knows no word of "zzz"/
    )
    await refused("SettingsError", "tokenize", "--run", run, "--text", "red pen", "--compare", "random")
    const silent = at("silent")
    await good("tokenize", "--run", silent, "--data", shop("untitled", () => ""), "--config", config("c.json"))
    assert.include(
      await refused("NoEncoder", "tokenize", "--run", silent, "--text", "red pen"),
      "a new text cannot be embedded: the items of the run are embedded without texts"
    )
    const file = at("e.safetensors")
    const data = Float32Array.from({ length: 80 }, (_, i) => Math.sin(i))
    writeFileSync(file, Safetensors.encode(new Map([["embeddings", { dtype: "F32", shape: [20, 4], data }]])))
    const given = at("given")
    const encoder = { encoder: { kind: "precomputed", path: file } }
    await good("tokenize", "--run", given, "--data", at("shop"), "--config", config("d.json", encoder))
    assert.include(
      await refused("MissingItem", "tokenize", "--run", given, "--text", "red pen"),
      `${file} has no embedding of item "red pen"`
    )
    // A key of the catalogue has its row.
    await good("tokenize", "--run", given, "--text", "i3")
    data[0] = 9
    writeFileSync(file, Safetensors.encode(new Map([["embeddings", { dtype: "F32", shape: [20, 4], data }]])))
    assert.include(
      await refused("OtherEncoder", "tokenize", "--run", given, "--text", "i3"),
      "which is not precomputed:"
    )
  })
})

describe("an artefact of a run that is damaged", () => {
  const laboratory = () => `laboratory/${readdirSync(join(run, "laboratory"))[0]!}`
  const readers: ReadonlyArray<readonly [() => string, ReadonlyArray<string>]> = [
    [() => "dataset.safetensors", ["recommend", "--user", "u1"]],
    [() => "sids.json", ["recommend", "--user", "u1"]],
    [() => "sids.json", ["sft"]],
    ...models.map((name) => [() => name, ["tokenize", "--text", "red pen"]] as const),
    [() => "evaluation.json", ["report"]],
    [() => "examples.json", ["report"]],
    [laboratory, ["tokenize", "--compare", "random"]]
  ]
  it("is an error that names it, what was expected and found, and a remedy that helps", async () => {
    for (const [name, command] of readers) {
      const file = join(run, name())
      const original = readFileSync(file)
      const expected = manifestOf(run).hashes[name()]!
      assert.strictEqual(expected, Manifest.hash([original]), name())
      const flipped = Uint8Array.from(original)
      flipped[flipped.length >> 1]! ^= 1
      for (
        const content of [flipped, original.subarray(0, original.length >> 1), new Uint8Array(0), Buffer.from("{}")]
      ) {
        writeFileSync(file, content)
        const message = await refused("Corrupt", ...command, "--run", run)
        for (const words of [file, expected, Manifest.hash([content])]) assert.include(message, words)
        assert.match(message, /delete it and run|run `sidereal evaluate --run/)
      }
      writeFileSync(file, original)
      await good(...command, "--run", run)
    }
    const before = await answers(run)
    for (const name of [...models, "sids.json", laboratory()]) rmSync(join(run, name))
    assert.deepStrictEqual(await answers(run), before)
    await good("tokenize", "--run", run, "--compare", "random")
    rmSync(join(run, "evaluation.json"))
    assert.include(await refused("NoArtefact", "report", "--run", run), "run `sidereal evaluate --run")
    await good("evaluate", "--run", run)
    await good("report", "--run", run)
  }, 240_000)

  it("is one too where no hash tells it: its content is checked", async () => {
    const broken: ReadonlyArray<readonly [string, ReadonlyArray<string>, (text: string) => string]> = [
      ["sids.json", ["recommend", "--user", "u1"], (text) => text.replace("\"sids\":[[", "\"sids\":[[99,")],
      ["sids.json", ["recommend", "--user", "u1"], (text) => text.replace("\"sids\":[[", "\"sids\":[[\"x\",")],
      ["sids.json", ["recommend", "--user", "u1"], (text) => text.replace("collisionPolicy", "policy")],
      ["evaluation.json", ["report"], (text) => text.replace("\"users\": ", "\"users\": \"many\", \"was\": ")],
      ["examples.json", ["report"], (text) => text.replace("\"truth\"", "\"lie\"")]
    ]
    for (const [name, command, change] of broken) {
      const file = join(run, name)
      const original = readFileSync(file, "utf8")
      const manifest = manifestOf(run)
      const { [name]: _, ...hashes } = manifest.hashes
      writeFileSync(join(run, "manifest.json"), JSON.stringify({ ...manifest, hashes }))
      assert.notStrictEqual(change(original), original)
      writeFileSync(file, change(original))
      assert.include(await refused("Corrupt", ...command, "--run", run), "content that cannot be read (")
      writeFileSync(file, original)
      await good(...command, "--run", run)
    }
  })
})
