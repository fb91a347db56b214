/**
 * Writes the policy of a run as a folder of Hugging Face.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Group from "../src/grpo/Grpo.ts"
import * as FlatPolicy from "../src/policy/flat/FlatPolicy.ts"
import * as CheckpointConfig from "../src/policy/huggingface/CheckpointConfig.ts"
import { type CheckpointError } from "../src/policy/huggingface/CheckpointError.ts"
import * as CheckpointWriter from "../src/policy/huggingface/CheckpointWriter.ts"
import * as Lora from "../src/policy/lora/Lora.ts"
import { type LoraConfig } from "../src/policy/lora/LoraConfig.ts"
import * as PeftFolder from "../src/policy/lora/PeftFolder.ts"
import { PolicyError, Unsupported } from "../src/policy/PolicyError.ts"
import { PolicyParameters } from "../src/policy/PolicyParameters.ts"
import * as TextExport from "../src/policy/text/TextExport.ts"
import * as TextFolder from "../src/policy/text/TextFolder.ts"
import { DecoderConfig } from "../src/policy/transformer/Transformer.ts"
import { Checkpointer } from "../src/run/Checkpointer.ts"
import { NoCheckpoint, RunError } from "../src/run/RunError.ts"
import * as Supervised from "../src/sft/Sft.ts"
import { type SidIndex } from "../src/sid/SidIndex.ts"
import * as TrainingState from "../src/training/TrainingState.ts"
import * as Policies from "./Policies.ts"
import * as Prepare from "./Prepare.ts"
import { SettingsError } from "./SettingsError.ts"
import * as Tokenize from "./Tokenize.ts"
import { Workspace } from "./Workspace.ts"

/** Options of an export. */
export interface Request {
  /** Folder that is made. */
  readonly to: string
  /** Whether adapters are written beside their base instead of being merged into it. @default false */
  readonly adapters?: boolean | undefined
  /** Whether weights are written in float32 instead of the type of the model's folder. @default false */
  readonly float32?: boolean | undefined
  /** Whether a checkpoint in the folder is replaced. @default false */
  readonly replace?: boolean | undefined
  /** Phase whose best policy is written. @default the last one that was trained */
  readonly phase?: Phase | undefined
}

/** Phases of training, the last first. */
const phases = [Group.kind, Supervised.kind] as const

/** Phase of training. */
export type Phase = (typeof phases)[number]

/** Model in the terms of Hugging Face; adapters are among the weights. */
interface Model {
  readonly config: CheckpointConfig.CheckpointConfig
  readonly weights: Lora.Tensors
  readonly lora: LoraConfig | undefined
  /** Folder with the files of the tokenizer. @default none */
  readonly tokenizer?: string | undefined
  readonly files?: ReadonlyMap<string, Uint8Array> | undefined
}

/** Returns the model of the weights of a run. */
const modelOf = Effect.fnUntraced(function*(index: SidIndex, weights: Lora.Tensors): Effect.fn.Return<
  Model,
  CheckpointError | PolicyError,
  Workspace | FileSystem.FileSystem | Path.Path
> {
  const { settings: { family, policy, text } } = yield* Workspace
  if (family === "flat") {
    const { lora: _, ...decoder } = FlatPolicy.decoderConfig(policy, index)
    const config = yield* CheckpointConfig.ofDecoder(new DecoderConfig(decoder))
    return { config, weights, lora: policy.lora }
  }
  if (family === "text" && text !== undefined) {
    const { checkpoint, vocabulary } = yield* TextFolder.open(text, index)
    return {
      ...TextExport.model(checkpoint.config, vocabulary, weights),
      lora: text.train === "lora" ? text.lora : undefined,
      tokenizer: text.folder,
      files: TextExport.tokenizer(vocabulary)
    }
  }
  return yield* new PolicyError({
    reason: new Unsupported({
      family,
      what: "a folder of Hugging Face, whose models have no such head",
      remedy: "export a run of the flat or the text family"
    })
  })
})

/** Writes the best policy of the run; returns the folder, the phase and the step. */
export const program = Effect.fn("export")(function*(
  { adapters = false, float32 = false, phase: asked, replace = false, to }: Request,
  policy: Policies.PolicyLayer = Policies.chosen
) {
  const { run, settings } = yield* Workspace
  const path = yield* Path.Path
  const { dataset } = yield* Prepare.program()
  const { index } = yield* Tokenize.program()
  const folder = path.resolve(to)
  return yield* Effect.gen(function*() {
    const parameters = yield* PolicyParameters
    const checkpointer = yield* Checkpointer
    const candidates = asked === undefined ? phases : [asked]
    for (const phase of candidates) {
      const step = yield* TrainingState.loadFinal(parameters, checkpointer, phase, settings[phase].optimizer)
      if (step === undefined) continue
      const { average, weights: own } = yield* parameters.save
      const { config, files, lora, tokenizer, weights } = yield* modelOf(index, new Map([...own, ...average]))
      const base = Lora.baseIn(weights)
      const to = { config, tokenizer, replace, ...(float32 ? { dtype: "F32" as const } : {}) }
      if (!adapters) {
        const merged = lora === undefined ? base : yield* Lora.merge(lora, base, weights)
        yield* CheckpointWriter.write(folder, { ...to, files, weights: merged })
        return { folder, phase, step }
      }
      if (lora === undefined) {
        return yield* new SettingsError({
          source: "the command line",
          problems: [`adapters: Expected a run with LoRA, ${run} has no adapters; leave --adapters out`]
        })
      }
      const adapter = yield* PeftFolder.files(
        { config: lora, tensors: Lora.adaptersIn(weights), baseModel: folder },
        Object.fromEntries(base)
      )
      const beside = Array.from(adapter, ([name, bytes]) => [path.join("adapter", name), bytes] as const)
      yield* CheckpointWriter.write(folder, { ...to, files: new Map([...files ?? [], ...beside]), weights: base })
      return { folder, phase, step }
    }
    return yield* new RunError({ reason: new NoCheckpoint({ path: run, kind: candidates.at(-1)! }) })
  }).pipe(Effect.scoped, Effect.provide(Policies.layer(policy, dataset, index)))
})
