/**
 * The root of the command line: the flags that every command shares, and the run that they describe.
 *
 * Commands import their programs when they are executed, so that help and wrong usage load no library.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Packages from "../../src/run/Packages.ts"
import * as Devices from "../Devices.ts"
import * as Families from "../Families.ts"
import * as Note from "../Note.ts"
import type * as Settings from "../Settings.ts"
import type { WorkspaceOptions } from "../Workspace.ts"

/** Makes an optional text flag. */
export const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.optional)
/** Makes a flag that is off unless given. */
export const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

/** The command with the flags that all others share. */
export const command = Command.make("sidereal").pipe(
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
    policy: Flag.Literals("policy", Families.families).pipe(
      Flag.withDescription("Family of the policy of a new run (default: item for the shop, parallel for data)"),
      Flag.optional
    ),
    size: Flag.Literals("size", Families.sizes).pipe(
      Flag.withDescription("Size of the policy of a new run (default: small); settings in --config win over it"),
      Flag.optional
    ),
    seed: Flag.Int("seed").pipe(Flag.withDescription("Everything random follows from it (default: 1)"), Flag.optional),
    config: text("config", "JSON file with settings; flags win over it"),
    device: Flag.Literals("device", Devices.names).pipe(
      Flag.withDescription("Where tensor programs run (default: cpu)"),
      Flag.withDefault("cpu" as const)
    ),
    quiet: toggle("quiet", "No progress on standard error: results, warnings and errors stay"),
    json: toggle("json", "Results as JSON on standard output"),
    quick: toggle("quick", "A tiny policy and few steps: ends in seconds, proves nothing"),
    fresh: toggle("fresh", "Begin the run again instead of going on")
  })
)

/** Collects the settings that were given, part by part: later parts win. */
export const partsOf = Effect.fnUntraced(function*(flags: Flags) {
  const [ConfigFile, Recipes, Settings] = yield* Packages.load(() =>
    Promise.all([import("../ConfigFile.ts"), import("../Recipes.ts"), import("../Settings.ts")])
  )
  const config = Option.getOrUndefined(flags.config)
  const size = Option.getOrUndefined(flags.size)
  const parts: ReadonlyArray<Settings.Part> = [
    ...(flags.quick ? [{ source: "--quick", settings: Settings.quick }] : []),
    ...(size === undefined ? [] : [{ source: `--size ${size}`, settings: Recipes.sizes[size] }]),
    ...(config === undefined ? [] : [{ source: config, settings: yield* ConfigFile.read(config) }]),
    {
      source: "the command line",
      settings: Settings.merge({
        data: Option.getOrUndefined(flags.data),
        core: Option.getOrUndefined(flags.core),
        ...dataSettings(flags),
        family: Option.getOrUndefined(flags.policy),
        seed: Option.getOrUndefined(flags.seed)
      })
    }
  ]
  const shapeless = parts.find(({ settings }) => !Settings.isRecord(settings))
  return shapeless === undefined ? parts : yield* Settings.decode(shapeless.settings, shapeless.source).pipe(
    Effect.as(parts)
  )
})

/** The part of the workspace's options that a command decides. */
type Access = Pick<WorkspaceOptions, "existing" | "readOnly">

/** Provides a command's work with the settings of flags and file, and with the run they are for. */
export const within = <A, E, R>(work: Effect.Effect<A, E, R>, access: Access = { existing: false }) =>
  Effect.gen(function*() {
    const flags = yield* command
    const [Layers, Output] = yield* Packages.load(() => Promise.all([import("../Layers.ts"), import("../Output.ts")]))
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
      Effect.provideService(Output.AsJson, flags.json),
      Effect.provideService(Note.Quiet, flags.quiet)
    )
  })

type Flags = Effect.Success<typeof command>

/** Returns the settings of importing that flags give; a run's own settings hold for the others. */
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
