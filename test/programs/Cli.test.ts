import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("../..", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "sidereal-cli-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Outcome {
  readonly status: number | null
  readonly out: string
  readonly error: string
}

const start = (...args: ReadonlyArray<string>) => {
  const child = spawn(process.execPath, [join(root, "programs/cli.ts"), ...args], { cwd: folder })
  let out = ""
  let error = ""
  child.stdout.on("data", (chunk) => (out += String(chunk)))
  child.stderr.on("data", (chunk) => (error += String(chunk)))
  const ended = new Promise<Outcome>((resolve) => child.on("close", (status) => resolve({ status, out, error })))
  return { child, ended }
}

const sidereal = (...args: ReadonlyArray<string>) => start(...args).ended

const settings = join(folder, "settings.json")
const tiny = {
  shop: { users: 60, items: 50, meanExtraEvents: 4 },
  lsa: { width: 16 },
  tokenizer: { shape: { codes: 8 } },
  family: "flat",
  policy: { width: 16, layers: 1, heads: 2, keyValueHeads: 1, feedForward: 24, batchTokens: 256, dropout: 0.2 },
  sft: { epochs: 3, epochsPerValidation: 1, validationUsers: 40, learningRate: { peak: 3e-3, warmupSteps: 4 } },
  grpo: { steps: 4, promptsPerStep: 8, groupSize: 6, stepsPerValidation: 2, validationUsers: 40 }
}
const weights = (run: string) =>
  readFileSync(
    join(
      run,
      "checkpoints",
      readdirSync(join(run, "checkpoints")).filter((name) => name.startsWith("grpo-")).toSorted((a, b) =>
        Number(b.slice(5)) - Number(a.slice(5))
      )[0]!,
      "tensors.safetensors"
    )
  )

describe("sidereal", () => {
  const run = join(folder, "first")
  let demo: Outcome

  beforeAll(async () => {
    writeFileSync(settings, JSON.stringify(tiny))
    demo = await sidereal("demo", "--run", run, "--config", settings, "--json")
  })

  it("demo goes from nothing to a record without invalid SIDs, and a report", () => {
    assert.strictEqual(demo.status, 0, demo.error)
    const record = JSON.parse(demo.out)
    assert.strictEqual(record.invalid, 0)
    assert.deepStrictEqual(record.models.map((model: { name: string }) => model.name), [
      "popularity",
      "item-knn",
      "sft",
      "grpo",
      "sft + item-knn",
      "grpo + item-knn",
      "oracle"
    ])
    for (const { ci95, metrics } of record.models) {
      for (const metric of ["HR@1", "HR@3", "HR@5", "HR@10", "HR@20", "NDCG@10", "MRR"]) {
        assert.isAtLeast(metrics[metric], ci95[metric][0])
        assert.isAtMost(metrics[metric], ci95[metric][1])
      }
    }
    assert.include(readFileSync(join(run, "report.html"), "utf8"), "Ten users")
    assert.include(demo.error, "sft:")
  })

  it("evaluate prints the same record again, and stages find their artefacts", async () => {
    const again = await sidereal("evaluate", "--run", run, "--json")
    assert.strictEqual(again.status, 0, again.error)
    const strip = (text: string) => JSON.parse(text, (key, value) => (key === "seconds" ? 0 : value))
    assert.deepStrictEqual(strip(again.out), strip(demo.out))
    const tokenized = await sidereal("tokenize", "--run", run, "--json")
    assert.strictEqual(JSON.parse(tokenized.out).items, 50)
  })

  it("compares tokenizers side by side, writes a page, and keeps what it measured", async () => {
    const compare = () => sidereal("tokenize", "--run", run, "--compare", "rq-kmeans,balanced,fsq,random", "--json")
    const first = await compare()
    assert.strictEqual(first.status, 0, first.error)
    const found = JSON.parse(first.out)
    assert.deepStrictEqual(found.entries.map(({ name }: { name: string }) => name), [
      "rq-kmeans",
      "balanced",
      "fsq",
      "random"
    ])
    assert.notStrictEqual(found.recommendation.name, "random")
    for (const { agreement, distinct, items, prediction } of found.entries) {
      assert.strictEqual(distinct, items)
      assert.isAbove(prediction.bits, 0)
      assert.strictEqual(agreement[0].prefix, 0)
    }
    const page = readFileSync(join(run, "laboratory.html"), "utf8")
    for (const part of ["Recommended:", "The rule:", "<svg", "Do items with common codes belong together?"]) {
      assert.include(page, part)
    }
    assert.deepStrictEqual(JSON.parse((await compare()).out), found)
    const unknown = await sidereal("tokenize", "--run", run, "--compare", "rq-kmeens")
    assert.strictEqual(unknown.status, 1)
    assert.include(unknown.error, "\"rq-kmeens\"; expected one of rq-kmeans")
  })

  it("is silent with --quiet but for results, warnings and errors", async () => {
    const heard = await sidereal("demo", "--run", join(folder, "heard"), "--config", settings)
    const quiet = await sidereal("demo", "--run", join(folder, "quiet"), "--config", settings, "--quiet")
    for (const line of ["rq-kmeans: 3 levels in", "sft: ", "grpo: 4 steps", "evaluate grpo:", "SIDs by"]) {
      assert.include(heard.error, line)
      assert.notInclude(quiet.error, line)
    }
    const results = (out: string) => out.split("\n").filter((line) => / is | did | cannot be told apart/.test(line))
    assert.isAbove(results(quiet.out).length, 3)
    assert.deepStrictEqual(results(quiet.out), results(heard.out))
    const failed = await sidereal("tokenize", "--data", join(folder, "nowhere"), "--run", join(folder, "no"), "--quiet")
    assert.strictEqual(failed.status, 1)
    assert.include(failed.error, "nowhere")
  })

  it("writes no colours where NO_COLOR forbids them", async () => {
    const plain = { ...process.env, FORCE_COLOR: "1", NO_COLOR: "1" }
    for (const args of [["--help"], ["demo", "--no-such-flag"], ["data", "inspect", join(folder, "nowhere")]]) {
      const child = spawn(process.execPath, [join(root, "programs/cli.ts"), ...args], { env: plain })
      let shown = ""
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (shown += String(chunk)))
      await new Promise((resolve) => child.on("close", resolve))
      assert.isAbove(shown.length, 20)
      assert.notInclude(shown, "\u001b[")
    }
  })

  it("inspects data without a run, and filters by flags", async () => {
    const table = join(folder, "events.csv")
    const rows = Array.from({ length: 60 }, (_, i) => `u${i % 6},i${i % 7},${i},${1 + i % 5}`)
    writeFileSync(table, `user_id,item_id,timestamp,rating\n${rows.join("\n")}\nbroken\n`)
    const found = await sidereal("data", "inspect", table, "--rating-floor", "2", "--json")
    assert.strictEqual(found.status, 0, found.error)
    const { counts, events, malformed, users } = JSON.parse(found.out)
    assert.deepStrictEqual([users, events], [6, 48])
    assert.strictEqual(counts.find(({ step }: { step: string }) => step.includes("too few columns")).count, 1)
    assert.strictEqual(malformed[0].line, 62)
    const strict = await sidereal("data", "inspect", table, "--strict")
    assert.strictEqual(strict.status, 1)
    assert.include(strict.error, "line 62")
    const text = await sidereal("data", "inspect", table, "--from", "30")
    assert.include(text.out, "events outside the time range dropped: 30")
    assert.include(text.out, "--core 2:")
  })

  it("recommends by user and by titles", async () => {
    const byUser = JSON.parse(
      (await sidereal("recommend", "--run", run, "--user", "user-3", "--json", "--count", "5")).out
    )
    assert.strictEqual(byUser.recommendations.length, 5)
    assert.isTrue(byUser.recommendations.every((one: { title: string }) => !byUser.history.includes(one.title)))
    const title = byUser.recommendations[0].title
    const byTitle = await sidereal("recommend", "--run", run, "--history", title.replaceAll(";", ","))
    assert.strictEqual(byTitle.status, 0, byTitle.error)
    assert.include(byTitle.out, title)
    assert.match(byTitle.out, / {2}1\. +\d+\.\d\d % {2}/)
  })

  it("is a function of the seed: another folder, the same weights", async () => {
    const other = join(folder, "second")
    assert.strictEqual((await sidereal("grpo", "--run", other, "--config", settings)).status, 1)
    assert.strictEqual((await sidereal("sft", "--run", other)).status, 0)
    assert.strictEqual((await sidereal("grpo", "--run", other)).status, 0)
    assert.isTrue(weights(other).equals(weights(run)))
  })

  it("interrupted in SFT and in GRPO, leaves a usable run and ends as if it had not been", async () => {
    const stopped = join(folder, "stopped")
    const interrupt = async (command: string, kind: string, signal: NodeJS.Signals) => {
      const { child, ended } = start(command, "--run", stopped, "--config", settings)
      const watch = setInterval(() => {
        const saved = existsSync(join(stopped, "checkpoints"))
          ? readdirSync(join(stopped, "checkpoints"))
          : []
        if (saved.some((name) => name.startsWith(`${kind}-`))) {
          clearInterval(watch)
          child.kill(signal)
        }
      }, 5)
      const { error, status } = await ended
      clearInterval(watch)
      assert.include([0, 130], status, error)
      const evaluated = await sidereal("evaluate", "--run", stopped, "--json")
      assert.strictEqual(evaluated.status, 0, evaluated.error)
      return status
    }
    const first = await interrupt("sft", "sft", "SIGINT")
    assert.strictEqual((await sidereal("sft", "--run", stopped)).status, 0)
    const second = await interrupt("grpo", "grpo", "SIGTERM")
    assert.strictEqual((await sidereal("grpo", "--run", stopped)).status, 0)
    assert.isTrue(weights(stopped).equals(weights(run)))
    assert.include([first, second], 130)
  })

  it("ends with 130 however early it is interrupted, and goes on when nobody reads its progress", async () => {
    for (const signal of ["SIGTERM", "SIGINT"]) {
      // The program interrupts itself when it begins to load what it is made of.
      const hook = "import { registerHooks } from 'node:module'; registerHooks({ load: (url, context, next) => { " +
        `if (url.endsWith('/programs/Main.ts')) process.kill(process.pid, '${signal}'); return next(url, context) } })`
      const child = spawn(
        process.execPath,
        [
          "--import",
          `data:text/javascript,${hook}`,
          join(root, "programs/cli.ts"),
          "data",
          "--run",
          join(folder, "early")
        ],
        { cwd: folder }
      )
      assert.strictEqual(await new Promise((resolve) => child.on("close", resolve)), 130, signal)
    }
    assert.isFalse(existsSync(join(folder, "early")))
    const unread = join(folder, "unread")
    const { child, ended } = start("sft", "--run", unread, "--config", settings)
    child.stderr.destroy()
    assert.strictEqual((await ended).status, 0)
    assert.isTrue(readdirSync(join(unread, "checkpoints")).some((name) => name.startsWith("sft-")))
  })

  it("fails with status 1 and says how to mend it", async () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
      [["evaluate", "--run", join(folder, "none")], "sidereal demo --run"],
      [["recommend", "--run", run, "--user", "nobody"], "no user \"nobody\""],
      [["recommend", "--run", run, "--history", "qqqq"], "no item \"qqqq\""],
      [["recommend", "--run", run, "--history", " ; "], "the history is empty"],
      [["recommend", "--run", run], "the history is empty"],
      [["sft", "--run", run, "--seed", "7"], "was made with seed 1, not 7"],
      [["data", "--run", join(folder, "x"), "--data", join(folder, "absent.csv")], "absent.csv"],
      [["sft", "--run", run, "--device", "cuda"], "the cuda backend is not available here"],
      [["report", "--run", join(folder, "second")], "evaluate"]
    ]
    for (const [args, words] of cases) {
      const { error, status } = await sidereal(...args)
      assert.strictEqual(status, 1, args.join(" "))
      assert.include(error, words)
    }
  })

  it("answers settings that cannot be used with status 2, and whatever fails on standard error alone", async () => {
    const bad = join(folder, "bad.json")
    writeFileSync(bad, JSON.stringify({ policy: { width: -4 }, sft: { epocs: 3 } }))
    const unparsed = join(folder, "null.json")
    writeFileSync(unparsed, "null")
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, ReadonlyArray<string>]> = [
      [["--config", bad], [bad, "policy.width", "-4", "sft.epocs"]],
      [["--config", unparsed], [unparsed, "got null"]],
      [["--config", join(folder, "absent.json")], ["absent.json", "ENOENT: no such file or directory"]],
      [["--core=-3", "--json"], ["the command line", "core: Expected a value greater than or equal to 0, got -3"]]
    ]
    for (const [args, words] of cases) {
      const { error, out, status } = await sidereal("data", "--run", join(folder, "z"), ...args)
      assert.deepStrictEqual([status, out], [2, ""], error)
      for (const word of words) assert.include(error, word)
      assert.notInclude(error, "    at ")
    }
    writeFileSync(join(run, "examples.json"), "{")
    const broken = await sidereal("report", "--run", run, "--json")
    assert.deepStrictEqual([broken.status, broken.out], [1, ""])
    assert.match(broken.error, /^error: /m)
  })

  it("lets one process work on a run and tells another which one that is", async () => {
    const shared = join(folder, "shared")
    const long = join(folder, "long.json")
    writeFileSync(long, JSON.stringify({ ...tiny, sft: { ...tiny.sft, epochs: 40, patience: 40 } }))
    const both = await Promise.all([1, 2].map(() => {
      const { child, ended } = start("sft", "--run", shared, "--config", long)
      return ended.then((outcome) => ({ ...outcome, pid: child.pid }))
    }))
    const [done, told] = both.toSorted((a, b) => a.status! - b.status!)
    assert.deepStrictEqual([done!.status, told!.status], [0, 1], `${done!.error}${told!.error}`)
    assert.include(told!.error, `${shared} is in use by process ${done!.pid}`)
    const lines = readFileSync(join(shared, "events.jsonl"), "utf8").trim().split("\n")
    assert.strictEqual(new Set(lines).size, lines.length)
  })

  it("answers wrong usage with status 2, and every command explains itself", async () => {
    for (const wrong of [["trian"], ["recommend", "--count", "many"], ["data", "--core", "x"], ["data", "--flag"]]) {
      const { error, out, status } = await sidereal(...wrong, "--json")
      assert.deepStrictEqual([status, out], [2, ""], wrong.join(" "))
      for (const words of ["USAGE", "ERROR"]) assert.include(error, words)
    }
    for (const command of ["demo", "data", "embed", "tokenize", "sft", "grpo", "evaluate", "recommend", "report"]) {
      const { out, status } = await sidereal(command, "--help")
      assert.strictEqual(status, 0)
      assert.include(out, "EXAMPLES")
    }
  })
}, 240_000)
