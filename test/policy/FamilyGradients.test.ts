/**
 * The losses of the families with one position per item, and their gradients: whole, in parts and with frozen parameters.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ItemEmbeddings } from "../../src/embedding/ItemEmbeddings.ts"
import * as Candidates from "../../src/grpo/rollout/Candidates.ts"
import * as Objective from "../../src/objective/Objective.ts"
import * as ParameterStore from "../../src/optimizer/ParameterStore.ts"
import * as DepthHead from "../../src/policy/item/DepthHead.ts"
import * as ItemModel from "../../src/policy/item/ItemModel.ts"
import { ItemPolicyConfig } from "../../src/policy/item/ItemPolicyConfig.ts"
import * as ItemTrees from "../../src/policy/item/ItemTrees.ts"
import { PolicyModel, type ScoredGroup } from "../../src/policy/PolicyModel.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import * as Prompt from "../../src/policy/Prompt.ts"
import { Sids } from "../../src/sid/Sids.ts"
import { TensorRuntime } from "../../src/tensor/TensorRuntime.ts"
import { distance } from "../Golden.ts"
import {
  catalogues,
  content,
  enliven,
  itemFamilies,
  layer,
  onnx,
  prefixed,
  settings,
  timedFamilies,
  timesOf
} from "./FamilyFixture.ts"
import { candidates, examples, gradientsOf, groupsOf, objectives, step, supervised } from "./FamilyGradients.ts"
import { index as plain } from "./Fixture.ts"

// Every family has its turn with every catalogue and objective in the long suite.
candidates((turn) => turn % 3 === 0)
supervised((turn) => turn % 2 === 0)

for (const family of [...itemFamilies, ...timedFamilies]) {
  describe(`the ${family.name} policy${timedFamilies.includes(family) ? " that reads times" : ""}`, () => {
    for (const [name, index] of catalogues) {
      it.effect(`has as its supervised losses what its scores say of the targets: ${name}`, () =>
        Effect.gen(function*() {
          const policy = yield* PolicyModel
          const store = yield* PolicyParameters
          const { space } = yield* Sids
          const weights = yield* enliven
          // Where SIDs are shared, a softmax over items says more than one over leaves: those items stay out.
          const shared = (item: number) => index.leafOf.filter((leaf) => leaf === index.leafOf[item]).length > 1
          const sequences = [[0, 5, 7, 3], [8], [1, 6, 5, 0, 3], []]
          assert.isFalse(sequences.flat().some(shared))
          const cases = sequences.flatMap((items, s) =>
            items.map((item, t) => ({
              // Times of the history alone: the target's is not there to be read.
              prompt: Prompt.ofHistory({
                user: s,
                items: Int32Array.from(items.slice(0, t)),
                times: timesOf(items.length).slice(0, t)
              }),
              item,
              weight: 1 + s
            }))
          )
          const batches = yield* policy.plan(
            sequences.map((items, user) => ({
              ...Prompt.everyPosition({ user, items: Int32Array.from(items), times: timesOf(items.length) }),
              weight: 1 + user
            })),
            1,
            0
          )
          const terms = yield* (yield* policy.supervised).accumulate(store, [{ batch: batches[0]! }], step)
          const trees = yield* policy.score(
            cases.map(({ item, prompt }) => ({ prompt, leaves: Int32Array.of(index.leafOf[item]!) })),
            weights
          )
          const scores = yield* Option.getOrThrow(policy.scoreItems)(cases.map(({ prompt }) => prompt), weights)
          const total = cases.reduce((sum, { weight }) => sum + weight, 0)
          const mean = (of: (c: number) => number) =>
            cases.reduce((sum, { weight }, c) => sum + weight * of(c), 0) / total
          assert.closeTo(terms["item"]!, -mean((c) => scores.data[c * 9 + cases[c]!.item]!), 1e-5)
          const generated = -mean((c) =>
            Candidates.stepsIn(space, trees[c]!, index.leafOf[cases[c]!.item]!).reduce((a, b) => a + b, 0)
          )
          assert.closeTo(terms[family.local ? "sid" : "digits"]!, generated, 1e-5)
          assert.isAbove(generated, 1)
        }).pipe(Effect.scoped, Effect.provide(layer(family, index))))
    }

    it.effect("takes forced steps, and those after them, as given", () =>
      Effect.gen(function*() {
        const policy = yield* PolicyModel
        const store = yield* PolicyParameters
        const { space } = yield* Sids
        yield* enliven
        const [, group] = yield* groupsOf(prefixed)
        const gradient = yield* policy.groupGradient({
          name: "linear",
          needs: { behaviour: false, reference: false },
          scalars: {},
          loss: (groups) => ({
            loss: Objective.overCandidates(groups.logProbs.mul(groups.advantages.expandDims(1)), groups),
            terms: { visits: groups.nodes.visits.sum() }
          })
        })
        const [tree] = yield* policy.score([group!], { version: 0, feeds: store.buffer.tensors("weights") })
        for (const forced of [0, 1]) {
          const terms = yield* gradient.accumulate(store, [{ batch: [{ ...group!, forced }] }], step)
          const steps = Array.from(group!.leaves, (leaf) => Candidates.stepsIn(space, tree!, leaf).slice(forced))
          const expected = steps.reduce(
            (sum, own, c) => sum + group!.advantages[c]! * own.reduce((a, b) => a + b, 0) / own.length / steps.length,
            0
          )
          assert.closeTo(terms.loss, expected, 1e-5)
          assert.strictEqual(terms["visits"], steps.reduce((sum, own) => sum + own.length, 0))
        }
      }).pipe(Effect.scoped, Effect.provide(layer(family, prefixed))))

    it.effect("takes a batch in parts as the whole", () => {
      const sequences = Array.from({ length: 40 }, (_, user): Prompt.TrainingExample => ({
        ...Prompt.everyPosition({
          user,
          items: Int32Array.from({ length: 1 + user % 5 }, (_, i) => (user * 2 + i * 5) % 9)
        }),
        weight: 1 + user % 3
      }))
      // Small parts: the weights of a batch are known, and its targets are weighted by them.
      const weightOf = (batch: { readonly feeds: Readonly<Record<string, { readonly data: ArrayLike<number> }>> }) => {
        const shares = Array.from(batch.feeds["weights"]!.data).filter((value) => value > 0)
        // The lightest target has weight 1.
        return 1 / Math.min(...shares)
      }
      const supervised = (batchItems: number) =>
        Effect.gen(function*() {
          const policy = yield* PolicyModel
          const store = yield* PolicyParameters
          yield* enliven
          const gradient = yield* policy.supervised
          const batches = yield* policy.plan(sequences, 1, 0)
          const total = batches.reduce((sum, batch) => sum + weightOf(batch), 0)
          const terms = yield* gradient.accumulate(
            store,
            batches.map((batch) => ({ batch, share: weightOf(batch) / total })),
            step
          )
          return { count: batches.length, total, terms, gradients: gradientsOf(store) }
        }).pipe(
          Effect.scoped,
          Effect.provide(layer(family, prefixed, Schema.decodeSync(ItemPolicyConfig)({ ...settings, batchItems })))
        )
      return Effect.gen(function*() {
        const [whole, parts] = [yield* supervised(1024), yield* supervised(64)]
        assert.strictEqual(whole.count, 1)
        assert.isAbove(parts.count, 1)
        const expected = sequences.reduce(
          (sum, { prompt, weight }) => sum + (prompt._tag === "History" ? prompt.history.items.length : 0) * weight,
          0
        )
        assert.closeTo(whole.total, expected, 1e-2)
        for (const [term, value] of Object.entries(whole.terms)) assert.closeTo(parts.terms[term]!, value, 1e-5, term)
        for (const [parameter, values] of whole.gradients) {
          const largest = Math.max(...values.map(Math.abs))
          assert.isAbove(largest, 0)
          assert.isBelow(distance(parts.gradients.get(parameter)!, values), 1e-5 * Math.max(1, largest), parameter)
        }

        yield* Effect.gen(function*() {
          const policy = yield* PolicyModel
          const store = yield* PolicyParameters
          yield* enliven
          // More groups than are computed at once.
          const four = yield* groupsOf(prefixed)
          const groups = Array.from({ length: 270 }, (_, g): ScoredGroup => {
            const own = four[g % 4]!
            return { ...own, advantages: own.advantages.map((value) => value * Math.cos(g)) }
          })
          for (const objective of Object.values(objectives)) {
            const gradient = yield* policy.groupGradient(objective)
            const run = (sizes: ReadonlyArray<number>) =>
              Effect.gen(function*() {
                let from = 0
                const parts = sizes.map((size) => ({ batch: groups.slice(from, from += size), share: size / 270 }))
                const terms = yield* gradient.accumulate(store, parts, step)
                return { terms, gradients: gradientsOf(store) }
              })
            const whole = yield* run([270])
            const parts = yield* run([20, 100, 150])
            for (const [term, value] of Object.entries(whole.terms)) {
              // The mean over steps is by the steps of a part.
              if (["loss", "forward", "reverse", "mass"].includes(term)) {
                assert.closeTo(parts.terms[term]!, value, 1e-5 * Math.max(1, Math.abs(value)), term)
              }
            }
            for (const [parameter, values] of whole.gradients) {
              const largest = Math.max(...values.map(Math.abs))
              assert.isBelow(
                distance(parts.gradients.get(parameter)!, values),
                2e-5 * Math.max(0.1, largest),
                parameter
              )
            }
          }
        }).pipe(Effect.scoped, Effect.provide(layer(family, prefixed)))
      })
    })

    it.effect("has no gradient of frozen parameters, and the others have the gradients that they had", () => {
      const outputs = new Set<string>()
      const noting = Layer.effect(
        TensorRuntime,
        Effect.map(TensorRuntime, (runtime) =>
          TensorRuntime.of({
            ...runtime,
            compile: (program) =>
              Effect.map(runtime.compile(program), (executable) => ({
                ...executable,
                run: (feeds, into) =>
                  Effect.tap(executable.run(feeds, into), (found) =>
                    Effect.sync(() => {
                      for (const output of Object.keys(found)) outputs.add(output)
                    }))
              }))
          }))
      )
      const choices: Readonly<Record<string, (name: string) => boolean>> = {
        none: () => false,
        "item states": (name) => name.startsWith("item.embedding") || name.includes("embed_tokens"),
        "first block": (name) => name.includes("layers.0"),
        "all but the SIDs' head": (name) => !/^(depth|digits)\./.test(name),
        all: () => true
      }
      return Effect.gen(function*() {
        const policy = yield* PolicyModel
        yield* enliven
        const { buffer: { slots }, weights: initial } = yield* PolicyParameters
        const groups = yield* groupsOf(prefixed)
        const supervised = yield* policy.supervised
        const group = yield* policy.groupGradient(objectives.GRPO)
        const [batch] = yield* policy.plan(examples, 1, 0)
        const { feeds } = yield* initial
        const gradients = Effect.fnUntraced(function*(frozen: (name: string) => boolean) {
          const store = yield* ParameterStore.make(
            Object.fromEntries(slots.map(({ name, shape }) => {
              const feed = feeds[name]!
              const initialize = (values: Float32Array) => values.set("data" in feed ? feed.data as Float32Array : [])
              return [name, { shape, trainable: !frozen(name), initialize }]
            }))
          )
          outputs.clear()
          const first = yield* supervised.accumulate(store, [{ batch: batch! }], step)
          const ofSupervised = gradientsOf(store)
          const between = [...outputs]
          outputs.clear()
          const second = yield* group.accumulate(store, [{ batch: groups }], step)
          return {
            losses: [first.loss, second.loss],
            found: [ofSupervised, gradientsOf(store)],
            outputs: [new Set(between), new Set(outputs)]
          }
        })
        const whole = yield* gradients(choices["none"]!)
        for (const [choice, frozen] of Object.entries(choices)) {
          const own = yield* gradients(frozen)
          assert.isBelow(distance(own.losses, whole.losses), 1e-6, choice)
          for (const loss of [0, 1]) {
            assert.deepStrictEqual(
              slots.map(({ name }) => name).filter((name) => own.outputs[loss]!.has(name)),
              slots.map(({ name }) => name).filter((name) => !frozen(name)),
              choice
            )
            for (const [name, gradient] of own.found[loss]!) {
              assert.isBelow(distance(gradient, whole.found[loss]!.get(name)!), 1e-5, `${choice}: ${name}`)
            }
          }
        }
      }).pipe(
        Effect.scoped,
        Effect.provide(family.layerOn(prefixed).pipe(Layer.provideMerge(noting), Layer.orDie, Layer.provide(onnx)))
      )
    })
  })
}

it.effect("an item policy scores trees and takes their gradient in parts of any size", () =>
  Effect.gen(function*() {
    const store = yield* PolicyParameters
    const weights = yield* enliven
    const model = yield* ItemModel.make("item", settings, DepthHead.generator, 11, false)
    const groups = yield* groupsOf(plain)
    const within = Effect.fnUntraced(function*(cells?: number) {
      const trees = yield* (yield* ItemTrees.score(model, cells))(groups, weights)
      const gradient = yield* ItemTrees.groupGradient(
        model,
        Objective.sum(Object.values(objectives).map((objective) => ({ objective, weight: 1 }))),
        cells
      )
      const terms = yield* gradient.accumulate(store, [{ batch: groups }], step)
      return [
        ...Object.values(terms),
        ...trees.flatMap(({ logProbs, nodes, starts }) => [...nodes, ...starts, ...logProbs]),
        ...store.buffer.flat("gradients")
      ]
    })
    const whole = yield* within()
    for (const cells of [1, 120]) assert.isBelow(distance(yield* within(cells), whole), 2e-5)
  }).pipe(
    Effect.scoped,
    Effect.provide(Layer.merge(
      itemFamilies[0]!.layerOn(plain).pipe(Layer.provideMerge(onnx)),
      ItemEmbeddings.layer(content(9))
    ))
  ))
