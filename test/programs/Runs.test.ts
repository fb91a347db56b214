import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import * as Checkpointer from "../../src/run/Checkpointer.ts"
import * as RunLock from "../../src/run/RunLock.ts"
import { good, refused, sidereal } from "./CommandLine.ts"
import { allThatIsTouched, at, commands, config, keptApart, settings, snapshot, table, write } from "./RunFolders.ts"

describe("a run and what is not its own", () => {
  // Every command has its turn with every place and every source in the long suite.
  keptApart((turn) => turn % 7 === 0)
  allThatIsTouched(["mine"])

  it("is refused, with the reason, when its manifest is none of ours or damaged, and named where one must be", async () => {
    const ours = { version: 1, created: "now", name: "x", seed: 1, settings: {}, versions: {}, hashes: {} }
    const cases: ReadonlyArray<readonly [string, string]> = [
      ["", "a manifest.json that is empty"],
      ["{", "a manifest.json that is no JSON"],
      ["null", "a manifest.json of something else"],
      ["[]", "a manifest.json of something else"],
      [JSON.stringify({ name: "a site" }), "a manifest.json of something else"],
      [JSON.stringify({ ...ours, version: 2 }), "a manifest.json of version 2, of which this sidereal reads 1"],
      [JSON.stringify({ ...ours, seed: "x" }), "a manifest.json with fields that are missing or damaged"]
    ]
    mkdirSync(at("manifests"))
    for (const [text, words] of cases) {
      writeFileSync(at("manifests", "manifest.json"), text)
      for (const fresh of [[], ["--fresh"]]) {
        assert.include(await refused("NotOurs", "data", "--run", at("manifests"), ...fresh), words)
      }
      for (const command of [["evaluate"], ["report"], ["recommend", "--user", "u1"]]) {
        assert.include(await refused("NoRun", ...command, "--run", at("manifests")), words)
      }
      assert.strictEqual(readFileSync(at("manifests", "manifest.json"), "utf8"), text)
    }
    rmSync(at("manifests", "manifest.json"))
    for (
      const [run, words] of [
        [at("manifests"), "found an empty folder"],
        [at("absent"), "found nothing"],
        [config, "found a file"],
        [at("shop"), "found no manifest.json"]
      ] as const
    ) assert.include(await refused("NoRun", "recommend", "--user", "u1", "--run", run), words)
    rmSync(at("manifests"), { recursive: true })
  })

  it("is refused when its folders are links, or its log somebody else's", async () => {
    await good("data", "--run", at("odd"), "--data", at("shop"))
    mkdirSync(at("disk"))
    symlinkSync(at("disk"), at("odd", "checkpoints"))
    for (const fresh of [[], ["--fresh"]]) {
      assert.include(await refused("NotOurs", "sft", "--run", at("odd"), ...fresh), "a link named checkpoints")
    }
    rmSync(at("odd", "checkpoints"))
    cpSync(at("logs", "events.jsonl"), at("odd", "events.jsonl"))
    for (const fresh of [[], ["--fresh"]]) {
      assert.include(await refused("NotOurs", "sft", "--run", at("odd"), ...fresh), "which is no log of a run")
    }
    assert.deepStrictEqual(readFileSync(at("odd", "events.jsonl")), readFileSync(at("logs", "events.jsonl")))
    assert.deepStrictEqual(readdirSync(at("disk")), [])
  })

  it("belongs to one process at a time; asking for recommendations goes on beside it and writes nothing", async () => {
    const args = ["--run", at("mine")]
    const { failures, held } = await Effect.gen(function*() {
      yield* RunLock.acquire(at("mine"))
      const held = snapshot(at("mine"))
      const failures: Array<readonly [string, string]> = []
      for (const command of commands) {
        const { failure, tag } = yield* Effect.promise(() => sidereal(...command, ...args))
        failures.push([tag, failure])
      }
      return { failures, held: [held, snapshot(at("mine"))] as const }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer), Effect.runPromise)
    assert.deepStrictEqual(
      failures.map(([tag]) => tag),
      commands.map(([name]) => (name === "recommend" ? "" : "InUse"))
    )
    assert.include(failures[0]![1], `is in use by process ${process.pid}`)
    assert.deepStrictEqual(held[1], held[0])
    const begun = snapshot(at("odd"))
    rmSync(at("odd", "events.jsonl"))
    await refused("NoArtefact", "recommend", "--run", at("odd"), "--user", "u1")
    begun.delete("events.jsonl")
    assert.deepStrictEqual(snapshot(at("odd")), begun)
  })
})

describe("settings of a run", () => {
  it("that made importing fail can be mended, left out, or replaced", async () => {
    const run = at("failed")
    await refused("TooFewItems", "data", "--run", run, "--data", at("shop"), "--core", "500")
    assert.include((await good("data", "--run", run, "--data", at("shop"), "--core", "2")).notes, "core: 500 -> 2")
    rmSync(run, { recursive: true })
    await refused("TooFewItems", "data", "--run", run, "--data", at("shop"), "--core", "500")
    await good("data", "--run", run, "--data", at("shop"))
    rmSync(run, { recursive: true })
    await refused("NoSplit", "data", "--run", run, "--data", at("shop"), "--split", "given")
    assert.isFalse(existsSync(join(run, "dataset.safetensors")))
    await good("data", "--run", run, "--data", at("shop"), "--split", "leave-one-out")
    assert.match(await refused("Unreadable", "data", "--run", at("typo"), "--data", at("shpo")), /shpo: ENOENT/)
    assert.isFalse(existsSync(at("typo")))
  })

  it("are fixed by what was made from them, and only those", async () => {
    const run = at("fixed")
    await good("data", "--run", run, "--data", at("shop"))
    assert.include(await refused("OtherSettings", "data", "--run", run, "--seed", "7"), "was made with seed 1, not 7")
    const changed = write("changed.json", { tokenizer: { shape: { levels: 2, codes: 4 } }, lsa: { width: 4 } })
    assert.include((await good("tokenize", "--run", run, "--config", changed)).notes, "lsa.width: 128 -> 4")
    assert.include(
      await refused("OtherSettings", "sft", "--run", run, "--config", config),
      "was made with lsa.width 4, not 8"
    )
    const later = write("later.json", { grpo: { steps: 3 }, policy: settings.policy, sft: settings.sft })
    assert.include((await good("sft", "--run", run, "--config", later)).notes, "grpo.steps: 120 -> 3")
    const wide = write("wide.json", { policy: { width: 32 } })
    assert.include(await refused("OtherSettings", "sft", "--run", run, "--config", wide), "policy.width 16, not 32")
    const rewards = write("rewards.json", { grpo: { rewards: { rule: 1 } } })
    assert.match(
      (await good("data", "--run", run, "--config", rewards)).notes,
      /grpo\.rewards\.collaborative: 1 -> \(not given\)/
    )
    const beams = write("beams.json", { evaluation: { beams: 30 } })
    const evaluated = await good("evaluate", "--run", run, "--config", beams, "--json")
    assert.strictEqual(JSON.parse(evaluated.out).beams, 30)
    const reversed = write("reversed.json", {
      sft: Object.fromEntries(Object.entries(settings.sft).toReversed()),
      evaluation: { beams: 30 }
    })
    assert.strictEqual((await good("sft", "--run", run, "--config", reversed)).notes, "")
  }, 240_000)

  it("are checked before anything is made, each with its field, its value and its source", async () => {
    const cases: ReadonlyArray<readonly [unknown, ReadonlyArray<string>]> = [
      [null, ["(whole file): Expected an object of settings, got null"]],
      [[], ["(whole file): Expected an object of settings, got []"]],
      [3, ["got 3"]],
      ["{", ["it is not JSON"]],
      ["{\"sft\": {\"epochs\": 1}, \"seed\": 1, \"sft\": {}}", ["sft: it stands twice"]],
      ["{\"a\": [{\"b\": 1}, {\"b\": 1, \"\\u0062\": 2}]}", ["a.b: it stands twice"]],
      ["{\"__proto__\": {\"sft\": {\"epochs\": 3}}}", ["__proto__: there is no such setting"]],
      ["[".repeat(20_000) + "]".repeat(20_000), ["more than 64 deep"]],
      ["{\"sft\": {\"epochs\": 1e999}}", ["sft.epochs: Expected an integer, got Infinity"]],
      [{ constructor: 1 }, ["constructor: there is no such setting"]],
      [{ cor: 1 }, ["cor: there is no such setting; did you mean core?"]],
      [{ seed: 2 ** 60 }, ["seed: Expected an integer of at most 9007199254740991", "got 11529215046068"]],
      [{ data: "" }, ["data: Expected a path, got \"\""]],
      [{ evaluation: { beams: 5000 } }, ["evaluation.beams", "4096", "got 5000"]],
      [{ sft: { validationBeams: 1e9 } }, ["sft.validationBeams", "4096"]],
      [{ grpo: { groupSize: 5000, beta: 1e300 } }, ["grpo.groupSize", "grpo.beta", "got 1e+300"]],
      [{ policy: { historyItems: 1e9 } }, ["policy.historyItems", "10000"]],
      [{ policy: { width: 2 ** 20 } }, ["policy.width: Expected at most 536870912 weights in 4 layers"]],
      [{ policy: null }, ["policy: Expected object, got null"]],
      [{ policy: { width: 90, heads: 4 } }, ["policy.width: Expected a multiple of 8", "got 90"]],
      [{ policy: { width: 12, heads: 4, keyValueHeads: 2 } }, ["policy.width"]],
      [{ policy: { keyValueHeads: 3 } }, ["policy.keyValueHeads: Expected a divisor of heads, 4, got 3"]],
      [{ policy: { heads: 3 } }, ["policy.width", "got the default 128"]],
      [{ grpo: { rewards: { rulle: 1 } } }, ["grpo.rewards.rulle", "did you mean rule?"]],
      [{ grpo: { rewards: { clicks: 1 } } }, ["grpo.rewards.clicks", "known are rule, ranking, ndcg, prefix"]],
      [{ grpo: { rewards: { rule: 1e300 } } }, ["grpo.rewards.rule", "got 1e+300"]],
      [{ grpo: { groupSize: 1 } }, ["grpo.groupSize", "got 1"]],
      [{ grpo: { groupSize: 40 }, shop: { items: 30 } }, ["grpo.groupSize: Expected at most the 30 items", "got 40"]],
      [{ sft: { epocs: 3 }, evaluation: { beams: 5 } }, [
        "sft.epocs: there is no such setting; did you mean epochs?",
        "evaluation.beams"
      ]],
      [{ sft: { learningRate: { floor: 2 } } }, ["sft.learningRate.floor", "got 2"]],
      [{ filter: { from: 5, to: 3 } }, ["filter.from: Expected a time not after filter.to, 3, got 5"]],
      [{ filter: { core: -1 } }, ["filter.core", "got -1"]],
      [{ split: { kind: "given" } }, ["split.kind"]],
      [{ lsa: { maximumShare: 1.5 } }, ["lsa.maximumShare", "got 1.5"]],
      [{ shop: { chance: -0.1 } }, ["shop.chance", "got -0.1"]],
      [{ tokenizer: { quantizer: "rqvae" } }, ["tokenizer.quantizer", "did you mean rq-vae?"]],
      [{ tokenizer: { quantizer: "given" } }, ["tokenizer.given.path"]],
      [{ tokenizer: { given: { path: "none.json" } } }, ["tokenizer.given.path", "none.json", "not there"]],
      [{ encoder: { kind: "precomputed", path: "none.npy" } }, ["encoder.path", "none.npy", "not there"]],
      [{ encoder: { kind: "onnx", path: config } }, ["encoder.path: Expected the path of a folder"]]
    ]
    for (const [value, words] of cases) {
      const file = write("bad.json", value)
      for (const command of ["data", "demo", "sft"]) {
        const failure = await refused("SettingsError", command, "--run", at("never"), "--config", file)
        for (const word of [...words, `${file} has settings that cannot be used`]) assert.include(failure, word)
      }
    }
    for (const flags of [["--core=-3"], ["--user-core=-1"], ["--from", "9", "--to", "3"], ["--split", "given"]]) {
      assert.include(
        await refused("SettingsError", "data", "--run", at("never"), ...flags),
        "the command line has settings that cannot be used"
      )
    }
    assert.include(await refused("SettingsError", "data", "inspect", at("shop"), "--core=-3"), "got -3")
    assert.include(await refused("SettingsError", "data", "--run", ""), "run: Expected a path")
    for (const flag of ["--data", "--config"]) {
      assert.include(await refused("SettingsError", "data", "--run", at("never"), flag, ""), "path")
    }
    assert.isFalse(existsSync(at("never")))
  })
})

describe("what a run holds", () => {
  it("is recommended with the history where lists are evaluated with it", async () => {
    const ask = async (historyExcluded: boolean) => {
      const kept = write("kept.json", { evaluation: { historyExcluded } })
      const { out } = await good(
        "recommend",
        "--run",
        at("mine"),
        "--user",
        "u1",
        "--config",
        kept,
        "--json",
        "--count",
        "99"
      )
      return JSON.parse(out) as { history: ReadonlyArray<string>; recommendations: ReadonlyArray<{ item: string }> }
    }
    assert.strictEqual((await ask(false)).recommendations.length, 11)
    const { history, recommendations } = await ask(true)
    assert.strictEqual(recommendations.length, 11 - new Set(history).size)
  })

  it("is told when an evaluation's files are damaged", async () => {
    for (const name of ["examples.json", "evaluation.json"]) {
      const file = at("mine", name)
      const content = readFileSync(file)
      for (const damaged of ["{", "[{\"user\": 1}]", "null", ""]) {
        writeFileSync(file, damaged)
        const failure = await refused("Corrupt", "report", "--run", at("mine"))
        for (const words of [file, "is damaged", "`sidereal evaluate --run"]) assert.include(failure, words)
      }
      writeFileSync(file, content)
    }
    await good("report", "--run", at("mine"))
  })

  it("is no shop where data are given, so what is said of one changes nothing", async () => {
    const shop = write("shop.json", { shop: { users: 7 } })
    assert.strictEqual((await good("data", "--run", at("mine"), "--config", shop)).notes, "")
  })
})

describe("data that change", () => {
  it("are told: refused where they are named, a note where a run only goes on", async () => {
    const [data, run] = [at("moving"), at("moved")]
    cpSync(at("shop"), data, { recursive: true })
    const args = ["--run", run, "--data", data]
    await good("sft", ...args, "--config", config)
    const manifest = () => JSON.parse(readFileSync(join(run, "manifest.json"), "utf8"))
    assert.match(manifest().hashes.data, /^[0-9a-f]{64}$/)
    assert.deepStrictEqual(manifest().sources.map(({ name }: { name: string }) => name), ["events.csv", "items.csv"])

    const file = join(data, "events.csv")
    utimesSync(file, new Date(), new Date(Date.now() + 5000))
    writeFileSync(join(data, "README.md"), "about")
    assert.strictEqual((await good("data", ...args)).notes.includes("changed"), false)

    const original = readFileSync(file)
    appendFileSync(file, "\nu1,i3,1009999\nu1,i4,1009999")
    for (const command of ["data", "tokenize", "sft", "grpo", "demo"]) {
      assert.strictEqual(
        await refused("DataChanged", command, ...args),
        `${file} has changed since ${run} was created, which keeps its copy; --fresh reads the data again`
      )
    }
    for (const command of [["evaluate"], ["recommend", "--user", "u1"], ["report"]]) {
      assert.include((await good(...command, ...args)).notes, `${file} has changed since`)
    }
    assert.include((await good("data", "--run", run)).notes, `${file} has changed since`)
    writeFileSync(file, original)
    assert.notInclude((await good("data", ...args)).notes, "changed")

    writeFileSync(join(data, "events-2.csv"), table(3, 4, 9000))
    assert.include(await refused("DataChanged", "sft", ...args), join(data, "events-2.csv"))
    rmSync(join(data, "events-2.csv"))
    rmSync(join(data, "items.csv"))
    assert.include(await refused("DataChanged", "sft", ...args), join(data, "items.csv"))

    renameSync(data, `${data}-away`)
    for (const command of [["data"], ["sft"], ["evaluate"], ["recommend", "--user", "u1"]]) {
      assert.include((await good(...command, "--run", run)).notes, "no longer exists")
    }
    assert.match(await refused("Unreadable", "data", ...args, "--fresh"), /ENOENT/)
    assert.isTrue(existsSync(join(run, "sids.json")))
    renameSync(`${data}-away`, data)
    appendFileSync(file, "\nu1,i5,1009999")
    const anew = JSON.parse((await good("data", "--run", run, "--fresh", "--json")).out)
    assert.strictEqual(anew.counts[0].count, 12 * 6 + 1)
  }, 240_000)
})

describe("a finished run", () => {
  const run = at("longer")
  const metaOf = (kind: string) => {
    const steps = readdirSync(join(run, "checkpoints")).flatMap((name) =>
      name.startsWith(`${kind}-`) ? [Number(name.slice(kind.length + 1))] : []
    )
    return JSON.parse(readFileSync(join(run, "checkpoints", `${kind}-${Math.max(...steps)}`, "meta.json"), "utf8"))
  }
  const more = (settings: object) => ["--run", run, "--config", write("more.json", settings)]

  it("is trained longer, never shorter, and GRPO begins anew from a better SFT", async () => {
    const first = JSON.parse((await good("sft", "--run", run, "--data", at("shop"), "--config", config, "--json")).out)
    assert.strictEqual(first.epochs, 2)
    await good("grpo", "--run", run)
    const origin = metaOf("grpo").origin
    const { notes, out } = await good("sft", ...more({ sft: { epochs: 6 } }), "--json")
    assert.include(notes, `sft: 2 -> 6 epochs, going on from step ${first.steps}`)
    const longer = JSON.parse(out)
    assert.deepStrictEqual([longer.epochs, longer.steps], [6, 3 * first.steps])
    assert.include(
      await refused("DoneAlready", "sft", ...more({ sft: { epochs: 3 } })),
      "has done 6 of sft.epochs, more than the 3 requested"
    )
    assert.strictEqual(JSON.parse(readFileSync(join(run, "manifest.json"), "utf8")).settings.sft.epochs, 6)
    const best =
      (await Effect.runPromise(Checkpointer.summary(run, "sft").pipe(Effect.provide(NodeServices.layer)))).best
    assert.notStrictEqual(best, origin)
    assert.include((await good("evaluate", "--run", run)).notes, `grpo began from step ${origin} of sft`)
    await good("grpo", "--run", run)
    assert.deepStrictEqual([metaOf("grpo").origin, metaOf("grpo").step], [best, 2])
    assert.include(
      (await good("grpo", ...more({ grpo: { steps: 4 } }))).notes,
      "grpo: 2 -> 4 steps, going on from step 2"
    )
    assert.strictEqual(metaOf("grpo").step, 4)
    await refused("DoneAlready", "grpo", ...more({ grpo: { steps: 3 } }))
  }, 240_000)

  it("goes on after an early stop when more is asked for", async () => {
    rmSync(run, { recursive: true, force: true })
    const eager = { ...settings, sft: { ...settings.sft, epochs: 40, patience: 1, learningRate: { peak: 1e-9 } } }
    const args = ["--run", run, "--data", at("shop"), "--config", write("eager.json", eager), "--json"]
    const stopped = JSON.parse((await good("sft", ...args)).out)
    assert.isTrue(stopped.stoppedEarly)
    assert.strictEqual(JSON.parse((await good("sft", ...args)).out).epochs, stopped.epochs)
    const { notes, out } = await good("sft", ...more({ sft: { epochs: 41 } }), "--json")
    assert.include(notes, `where it had stopped early after ${stopped.epochs} epochs`)
    assert.isAbove(JSON.parse(out).epochs, stopped.epochs)
  }, 240_000)
})
