/**
 * The commands of `sidereal`.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Inspection from "../src/catalog/Inspection.ts"
import * as Bench from "./Bench.ts"
import * as ConfigFile from "./ConfigFile.ts"
import * as Demo from "./Demo.ts"
import * as Devices from "./Devices.ts"
import * as Evaluate from "./Evaluate.ts"
import * as Grpo from "./Grpo.ts"
import * as Inspect from "./Inspect.ts"
import * as Laboratory from "./Laboratory.ts"
import * as Layers from "./Layers.ts"
import * as Output from "./Output.ts"
import * as Prepare from "./Prepare.ts"
import * as Quantizers from "./Quantizers.ts"
import * as Recommend from "./Recommend.ts"
import * as Report from "./Report.ts"
import * as Settings from "./Settings.ts"
import * as Sft from "./Sft.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace, type WorkspaceOptions } from "./Workspace.ts"

const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.optional)
const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

const root = Command.make("sidereal").pipe(
  Command.withDescription("Generative recommendation: items become semantic ids, a language model writes the next one"),
  Command.withSharedFlags({
    run: text("run", "Folder of the run (default: runs/<data name>)"),
    data: text("data", "File or folder of the data; without it a shop is generated"),
    core: Flag.Int("core").pipe(
      Flag.withDescription("Drop users and items with fewer events until none is left"),
      Flag.optional
    ),
    userCore: Flag.Int("user-core").pipe(Flag.withDescription("The same for users alone"), Flag.optional),
    itemCore: Flag.Int("item-core").pipe(Flag.withDescription("The same for items alone"), Flag.optional),
    from: Flag.Finite("from").pipe(
      Flag.withDescription("First time that is kept, in the data's unit"),
      Flag.optional
    ),
    to: Flag.Finite("to").pipe(Flag.withDescription("Last time that is kept"), Flag.optional),
    ratingFloor: Flag.Finite("rating-floor").pipe(
      Flag.withDescription("Least rating that is kept"),
      Flag.optional
    ),
    ties: Flag.Literals("ties", ["as-is", "shuffled"]).pipe(
      Flag.withDescription("Order of a user's events of one time (default: as-is)"),
      Flag.optional
    ),
    split: Flag.Literals("split", ["leave-one-out", "chronological", "given"]).pipe(
      Flag.withDescription("What trains and what tests (default: the data's own, or leave-one-out)"),
      Flag.optional
    ),
    strict: toggle("strict", "Rows that cannot be used are an error instead of being counted"),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Everything random follows from it (default: 1)"), Flag.optional),
    config: text("config", "JSON file with settings; flags win over it"),
    device: Flag.Literals("device", Devices.names).pipe(
      Flag.withDescription("Where tensor programs run (default: cpu)"),
      Flag.withDefault("cpu" as const)
    ),
    json: toggle("json", "Results as JSON on standard output"),
    quick: toggle("quick", "A tiny policy and few steps: ends in seconds, proves nothing"),
    fresh: toggle("fresh", "Begin the run again instead of going on")
  })
)

/** What was given of the settings, part by part: later parts win. */
const partsOf = Effect.fnUntraced(function*(flags: Flags) {
  const config = Option.getOrUndefined(flags.config)
  const parts: ReadonlyArray<Settings.Part> = [
    ...(flags.quick ? [{ source: "--quick", settings: Settings.quick }] : []),
    ...(config === undefined ? [] : [{ source: config, settings: yield* ConfigFile.read(config) }]),
    {
      source: "the command line",
      settings: Settings.merge({
        data: Option.getOrUndefined(flags.data),
        core: Option.getOrUndefined(flags.core),
        ...dataSettings(flags),
        seed: Option.getOrUndefined(flags.seed)
      })
    }
  ]
  const shapeless = parts.find(({ settings }) => !Settings.isRecord(settings))
  return shapeless === undefined ? parts : yield* Settings.decode(shapeless.settings, shapeless.source).pipe(
    Effect.as(parts)
  )
})

/** What a command does to its run. */
type Access = Pick<WorkspaceOptions, "existing" | "readOnly">

/** Settings given by flags and file, and the run they are for. */
const within = <A, E, R>(work: Effect.Effect<A, E, R>, access: Access = { existing: false }) =>
  Effect.gen(function*() {
    const flags = yield* root
    const parts = yield* partsOf(flags)
    return yield* work.pipe(
      Effect.provide(Layers.layer({
        run: Option.getOrUndefined(flags.run),
        given: {},
        parts,
        device: flags.device,
        fresh: flags.fresh,
        ...access
      })),
      Effect.provideService(Output.AsJson, flags.json)
    )
  })

type Flags = Effect.Success<typeof root>

/** What the flags say about importing; nothing where they say nothing, so that a run's settings hold. */
const dataSettings = (flags: Flags) => {
  const filter = Object.fromEntries(
    (["userCore", "itemCore", "from", "to", "ratingFloor", "ties"] as const).flatMap((name) => {
      const value = Option.getOrUndefined<number | string>(flags[name])
      return value === undefined ? [] : [[name, value]]
    })
  )
  const split = Option.getOrUndefined(flags.split)
  return {
    ...(Object.keys(filter).length === 0 ? {} : { filter }),
    ...(split === undefined ? {} : { split: { kind: split } }),
    ...(flags.strict ? { strict: true } : {})
  }
}

const example = (line: string, description: string) => [{ command: line, description }]

const demo = Command.make("demo", {}, () =>
  within(Effect.gen(function*() {
    const { file, run } = yield* Workspace
    const done = yield* Demo.program()
    yield* Output.result(
      done.record,
      [
        Output.describeRecord(done.record),
        "",
        `Report: ${done.report}`,
        `Try: npx sidereal recommend --run ${run} --user ${
          done.record.dataset === "generated-shop" ? "user-1" : "USER"
        }`
      ].join("\n")
    )
    yield* Effect.logDebug(file("manifest.json"))
  }))).pipe(
    Command.withDescription("Everything: data, SIDs, SFT, GRPO, evaluation, report"),
    Command.withExamples(
      example("sidereal demo --data ./my-shop --run runs/mine", "The whole pipeline on your own tables")
    )
  )

const inspect = Command.make("inspect", {
  path: Argument.String("path").pipe(Argument.withDescription("File or folder of the data")),
  write: toggle(
    "write",
    "Write the sidereal.json that names files and columns, guessed where it must be, beside the data"
  )
}, ({ path, write }) =>
  Effect.gen(function*() {
    const flags = yield* root
    if (write) yield* Output.note(`wrote ${yield* Inspect.write(path).pipe(Effect.provide(Layers.importers))}`)
    const settings = yield* Settings.decodeParts(yield* partsOf({ ...flags, data: Option.some(path) }))
    const found = yield* Inspect.program(path, settings).pipe(Effect.provide(Layers.importers))
    yield* Output.result(found, Inspection.describe(found)).pipe(
      Effect.provideService(Output.AsJson, flags.json)
    )
  })).pipe(
    Command.withDescription("Counts, distributions, texts, repeats, ties, and what a core would drop"),
    Command.withExamples([
      ...example("sidereal data inspect ./my-shop", "Look at data before training on them"),
      ...example("sidereal data inspect ./my-shop --write", "Write a sidereal.json to start from")
    ])
  )

const data = Command.make("data", {}, () =>
  within(Effect.gen(function*() {
    const { dataset } = yield* Prepare.program()
    yield* Output.result(
      { name: dataset.name, users: dataset.sequences.length, items: dataset.items.length, counts: dataset.counts },
      Output.describeDataset(dataset)
    )
  }))).pipe(
    Command.withDescription("Import or generate the data and count it"),
    Command.withExamples(example("sidereal data --data ratings.csv --core 5", "Read a table, keep the 5-core")),
    Command.withSubcommands([inspect])
  )

const embed = Command.make("embed", {}, () =>
  within(Effect.gen(function*() {
    const { matrix, version } = yield* Tokenize.embed(yield* Prepare.program())
    yield* Output.result(
      { version, rows: matrix.rows, width: matrix.width },
      `${matrix.rows} embeddings of ${matrix.width} components, version ${version.slice(0, 12)}`
    )
  }))).pipe(
    Command.withDescription("Item texts to embeddings"),
    Command.withExamples(example("sidereal embed --run runs/mine", "Embed the items of a run"))
  )

const tokenize = Command.make("tokenize", {
  compare: Flag.String("compare").pipe(
    Flag.withDescription(`Train several side by side and write a page: some of ${Quantizers.names.join(",")}, or all`),
    Flag.optional
  ),
  text: Flag.String("text").pipe(
    Flag.withDescription("The title of a new item, to be given a SID by the run's models; may be given several times"),
    Flag.atLeast(0)
  )
}, ({ compare, text: titles }) =>
  Option.isSome(compare) && titles.length > 0
    ? Effect.fail(
      new Settings.SettingsError({
        source: "the command line",
        problems: [
          "compare, text: tokenizers are compared on the run's items alone; give --compare or --text, not both"
        ]
      })
    )
    : Option.match(compare, {
      onNone: () =>
        within(
          titles.length > 0
            ? Effect.gen(function*() {
              const sids = yield* Tokenize.text(titles)
              yield* Output.result(sids, Output.describeNewSids(sids))
            })
            : Effect.gen(function*() {
              const tokenized = yield* Tokenize.program()
              yield* Output.result(tokenized.diagnosis, Output.describeSids(tokenized))
            })
        ),
      onSome: (text) =>
        Effect.flatMap(Quantizers.parseNames(text), (names) =>
          within(Effect.gen(function*() {
            const found = yield* Laboratory.program(names)
            yield* Output.result(found, Output.describeLaboratory(found))
          })))
    })).pipe(
    Command.withDescription("Embeddings to semantic ids, with their diagnostics; or tokenizers compared"),
    Command.withExamples([
      ...example("sidereal tokenize --run runs/mine --json", "Diagnostics as JSON"),
      ...example(
        "sidereal tokenize --compare rq-kmeans,rq-vae,random --run runs/mine",
        "Which tokenizer is best, and why"
      ),
      ...example("sidereal tokenize --run runs/mine --text \"a new title\"", "SID and neighbours of a new item")
    ])
  )

const sft = Command.make("sft", {}, () =>
  within(Effect.gen(function*() {
    const report = yield* Sft.program()
    yield* Output.result(
      report,
      `SFT: ${report.steps} steps, ${report.epochs} epochs, best validation NDCG@10 ${
        report.bestNdcg.toFixed(4)
      } after epoch ${report.bestEpoch}`
    )
  }))).pipe(
    Command.withDescription("Train the policy on histories; goes on where it stopped"),
    Command.withExamples(example("sidereal sft --run runs/mine --config settings.json", "Train with your settings"))
  )

const grpo = Command.make("grpo", {}, () =>
  within(Effect.gen(function*() {
    const report = yield* Grpo.program()
    yield* Output.result(
      report,
      `GRPO: ${report.steps} steps, validation NDCG@10 ${report.startNdcg.toFixed(4)} before, best ${
        report.bestNdcg.toFixed(4)
      } after step ${report.bestStep}`
    )
  }))).pipe(
    Command.withDescription("Improve the policy by rewards on constrained beams"),
    Command.withExamples(example("sidereal grpo --run runs/mine", "After sidereal sft on the same run"))
  )

const evaluate = Command.make("evaluate", {}, () =>
  within(
    Effect.gen(function*() {
      const record = yield* Evaluate.program()
      yield* Output.result(record, Output.describeRecord(record))
    }),
    { existing: true }
  )).pipe(
    Command.withDescription("Compare the run's policies with the baselines on the same users"),
    Command.withExamples(example("sidereal evaluate --run runs/mine --json", "The evaluation record"))
  )

const recommend = Command.make("recommend", {
  user: text("user", "A user of the data"),
  history: text("history", "Titles separated by semicolons, oldest first"),
  count: Flag.Int("count").pipe(
    Flag.withDescription("How many to print, at least 1 (default: 10)"),
    Flag.withDefault(10)
  )
}, ({ count, history, user }) =>
  Effect.gen(function*() {
    const question = yield* Recommend.check({
      user: Option.getOrUndefined(user),
      history: Option.getOrUndefined(history),
      count
    })
    yield* within(
      Effect.gen(function*() {
        const answer = yield* Recommend.program(question)
        yield* Output.result(answer, Output.describeAnswer(answer))
      }),
      // A run can be asked while it is trained.
      { existing: true, readOnly: true }
    )
  })).pipe(
    Command.withDescription("Recommend titles for a user or a history"),
    Command.withExamples(
      example(`sidereal recommend --run runs/mine --history "a title; another title"`, "By titles")
    )
  )

const report = Command.make("report", {}, () =>
  within(
    Effect.gen(function*() {
      const path = yield* Report.program()
      yield* Output.result({ report: path }, path)
    }),
    { existing: true }
  )).pipe(
    Command.withDescription("Write the run's report, one HTML file"),
    Command.withExamples(example("sidereal report --run runs/mine", "After sidereal evaluate"))
  )

const bench = Command.make("bench", {
  names: Argument.String("name").pipe(
    Argument.withDescription(
      "Benchmarks by name or by its beginning; `profile [d256]`, `growth` and `items` are tables"
    ),
    Argument.variadic()
  ),
  peers: text("peers", "Folder of the peers' scripts: time them in turn"),
  shapes: toggle("shapes", "With profile: one line per operator and shapes"),
  out: text("out", "With growth or items: folder for the charts")
}, ({ names, out, peers, shapes }) =>
  Effect.gen(function*() {
    const { json } = yield* root
    const option = (name: string, value: Option.Option<string>) =>
      Option.isSome(value) ? [`--${name}`, value.value] : []
    const status = yield* Bench.program([
      ...names,
      ...(json ? ["--json"] : []),
      ...(shapes ? ["--shapes"] : []),
      ...option("peers", peers),
      ...option("out", out)
    ])
    if (status !== 0) return yield* new Bench.BenchError({ status })
  })).pipe(
    Command.withDescription("Time the engine, decoding and SIDs; see where a step spends its time"),
    Command.withExamples(example("sidereal bench profile d256", "Milliseconds by operator"))
  )

/** The command line. */
export const cli = root.pipe(
  Command.withSubcommands([demo, data, embed, tokenize, sft, grpo, evaluate, recommend, report, bench])
)
