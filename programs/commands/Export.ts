/**
 * The command `export`: the policy of a run as a folder of Hugging Face.
 */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Packages from "../../src/run/Packages.ts"
import * as Root from "./Root.ts"

/** The command `export`. */
export const command = Command.make("export", {
  into: Flag.String("into").pipe(Flag.withDescription("Folder that is made")),
  phase: Flag.Literals("phase", ["sft", "grpo"]).pipe(
    Flag.withDescription("Phase whose best policy is written (default: the last one that was trained)"),
    Flag.optional
  ),
  adapters: Root.toggle("adapters", "Write LoRA adapters in `adapter`, beside their base, instead of merging them"),
  float32: Root.toggle("float32", "Write float32 instead of the type of the model's folder"),
  replace: Root.toggle("replace", "Replace a checkpoint that is in the folder")
}, ({ into, phase, ...request }) =>
  Root.within(
    Effect.gen(function*() {
      const [Export, Output] = yield* Packages.load(() => Promise.all([import("../Export.ts"), import("../Output.ts")]))
      const written = yield* Export.program({ ...request, to: into, phase: Option.getOrUndefined(phase) })
      yield* Output.result(written, `Wrote ${written.folder}: ${written.phase}, step ${written.step}`)
    }),
    // The run may be in training at the same time.
    { existing: true, readOnly: true }
  )).pipe(
    Command.withDescription("Write the policy of a run (flat, text) as a folder that transformers reads"),
    Command.withExamples([{
      command: "sidereal export --run runs/mine --into models/mine",
      description: "The best weights, adapters merged"
    }])
  )
