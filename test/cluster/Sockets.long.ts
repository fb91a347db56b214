/**
 * Actors in processes of their own, whose processes and networks fail in the middle of a step: the run goes on within ten
 * seconds and ends with the weights of direct calls, bit for bit.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type ChildProcess, spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as RolloutEntity from "../../layers/cluster/RolloutEntity.ts"
import * as Shards from "../../layers/cluster/Shards.ts"
import * as Sockets from "../../layers/cluster/Sockets.ts"
import * as WeightsEntity from "../../layers/cluster/WeightsEntity.ts"
import { OfferedWeights } from "../../src/grpo/actor/OfferedWeights.ts"
import { DrawGroups } from "../../src/grpo/actor/RolloutMessages.ts"
import * as Ahead from "../../src/grpo/Ahead.ts"
import * as Prompts from "../../src/grpo/Prompts.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import { PolicyParameters } from "../../src/policy/PolicyParameters.ts"
import { type PublishedWeights } from "../../src/policy/PublishedWeights.ts"
import { config, data, rewards, rollouts, train, trained } from "./Fixture.ts"
import { type Fault, Network } from "./Network.ts"
import * as Postgres from "./Postgres.ts"

const script = fileURLToPath(new URL("Worker.ts", import.meta.url))

/** What a worker said that it drew. */
interface Drawn {
  readonly step: number
  readonly ordinals: ReadonlyArray<number>
}

interface Worker {
  readonly child: ChildProcess
  readonly drawn: Array<Drawn>
}

let postgres: Postgres.Postgres | undefined
let direct = ""
let names = 0

/** A name of its own for every cluster. */
const fresh = () => `t${process.pid}_${names++}`

const worker = (
  name: string,
  options: {
    readonly database?: number
    readonly network?: (listen: number) => Promise<number>
    readonly wait?: number
    readonly onDraw?: (drawn: Drawn, worker: Worker) => void
  } = {}
) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const listen = await Postgres.freePort()
      const port = await options.network?.(listen) ?? listen
      const url = Postgres.urlAt(options.database ?? postgres!.port)
      const args = [script, url, name, String(port), String(listen), String(options.wait ?? 0)]
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] })
      const made: Worker = { child, drawn: [] }
      let told = ""
      child.stderr!.on("data", (chunk: Buffer) => (told += String(chunk)))
      await new Promise<void>((resolve, reject) => {
        let rest = ""
        child.once("exit", () => reject(new Error(`a worker ended: ${told}`)))
        child.stdout!.on("data", (chunk: Buffer) => {
          const lines = (rest + String(chunk)).split("\n")
          rest = lines.pop()!
          for (const line of lines) {
            if (line === "ready") resolve()
            const found = /^draws (\d+) \d+ ([\d,]+)$/.exec(line)
            if (found === null) continue
            const drawn = { step: Number(found[1]), ordinals: found[2]!.split(",").map(Number) }
            made.drawn.push(drawn)
            options.onDraw?.(drawn, made)
          }
        })
      })
      return made
    }),
    ({ child }) => Effect.promise(() => Postgres.end(child, "SIGKILL"))
  )

const network = (target: number) =>
  Effect.acquireRelease(Effect.promise(() => Network.to(target)), (made) => Effect.sync(() => made.close()))

const driver = (name: string) =>
  Layer.unwrap(
    Effect.map(Effect.promise(Postgres.freePort), (port) =>
      Sockets.layerDriver({ url: Postgres.urlAt(postgres!.port), name, address: { host: "127.0.0.1", port } }))
  )

/** Notes when each step had its groups. */
const timed = (ends: Map<number, number>, actor: Layer.Layer<RolloutActor, Sockets.JoinError, PublishedWeights>) =>
  Layer.effect(
    RolloutActor,
    Effect.map(RolloutActor, (actor) =>
      RolloutActor.of({
        generate: (prompts, step) =>
          Effect.tap(actor.generate(prompts, step), () => Effect.sync(() => void ends.set(step, performance.now())))
      }))
  ).pipe(Layer.provide(actor))

/** Of fewer actors than these, all may be on one of two workers, which has 8 of the 16 shards. */
const actors = 9

const drawing = (name: string) => Sockets.rollouts({ actors }).pipe(Layer.provide(driver(name)))

/** The step in the middle of which something fails. */
const fatal = 3

const seconds = (from: number, to: number | undefined) => ((to ?? Infinity) - from) / 1000

if (Postgres.programs === undefined) process.stdout.write(`${Postgres.missing}\n`)

describe.skipIf(Postgres.programs === undefined)("actors in processes of their own", () => {
  beforeAll(async () => {
    postgres = await Postgres.start()
    direct = await Effect.runPromise(train(rollouts, rewards))
  }, 120_000)
  afterAll(() => postgres?.stop())

  it.live(
    "draw what direct calls draw, each group once, on both of two workers, and a step ahead",
    () =>
      Effect.gen(function*() {
        const name = fresh()
        const [a, b] = yield* Effect.all([worker(name), worker(name)], { concurrency: 2 })
        const joined = driver(name)
        const scored = Sockets.rewards.pipe(Layer.provide(joined))
        assert.strictEqual(yield* train(Sockets.rollouts({ actors }).pipe(Layer.provide(joined)), scored), direct)
        for (let step = 1; step <= config.steps; step++) {
          const all = [...a.drawn, ...b.drawn].filter((drawn) => drawn.step === step).flatMap(({ ordinals }) =>
            ordinals
          )
          assert.deepStrictEqual(
            all.toSorted((x, y) => x - y),
            Array.from({ length: config.promptsPerStep }, (_, i) => i)
          )
        }
        assert.isAbove(a.drawn.length, 0)
        assert.isAbove(b.drawn.length, 0)
        const prompts = (step: number) =>
          step > config.steps ? undefined : Prompts.draw(data.sequences, config.promptsPerStep, [1, step - 1])
        const ahead = (actor: typeof rollouts) => Ahead.layer({ prompts }).pipe(Layer.provide(actor))
        assert.strictEqual(
          yield* train(Ahead.layer({ prompts }).pipe(Layer.provide(drawing(name))), rewards),
          yield* train(ahead(rollouts), rewards)
        )
      }).pipe(Effect.scoped),
    120_000
  )

  it.live(
    "go on within ten seconds when a worker is killed in the middle of a step, and when it is started again",
    () =>
      Effect.gen(function*() {
        const name = fresh()
        let killed = 0
        const onDraw = ({ step }: Drawn, { child }: Worker) => {
          if (step !== fatal || killed > 0) return
          killed = performance.now()
          child.kill("SIGKILL")
        }
        const workers = yield* Effect.all([worker(name, { wait: 200, onDraw }), worker(name, { wait: 200, onDraw })], {
          concurrency: 2
        })
        const ends = new Map<number, number>()
        const found = yield* train(timed(ends, drawing(name)), rewards)
        assert.strictEqual(found, direct)
        assert.isAbove(killed, 0)
        assert.strictEqual(workers.filter(({ child }) => child.signalCode === "SIGKILL").length, 1)
        const lost = seconds(killed, ends.get(fatal))
        process.stdout.write(`a worker killed: the step ended ${lost.toFixed(1)} s later\n`)
        assert.isBelow(lost, 10)
        const again = yield* worker(name)
        assert.strictEqual(yield* train(drawing(name), rewards), direct)
        assert.isAbove(again.drawn.length, 0)
      }).pipe(Effect.scoped),
    120_000
  )

  for (const fault of ["closed", "silent"] as ReadonlyArray<Fault>) {
    it.live(
      `go on within ten seconds when the network of a worker fails for good: ${fault}`,
      () =>
        Effect.gen(function*() {
          const name = fresh()
          const database = yield* network(postgres!.port)
          let [cut, cutIn] = [0, 0]
          let messages: Network | undefined
          yield* worker(name, { wait: 200 })
          yield* worker(name, {
            database: database.port,
            network: async (listen) => {
              messages = await Network.to(listen)
              return messages.port
            },
            wait: 200,
            // Shards may come late from the worker that began alone.
            onDraw: ({ step }) => {
              if (step < fatal || cut > 0) return
              cut = performance.now()
              cutIn = step
              database.cut(fault)
              messages!.cut(fault)
            }
          })
          const ends = new Map<number, number>()
          const found = yield* train(timed(ends, drawing(name)), rewards)
          messages!.close()
          assert.strictEqual(found, direct)
          assert.isAbove(cut, 0)
          const lost = seconds(cut, ends.get(cutIn))
          process.stdout.write(`a network ${fault}: the step ended ${lost.toFixed(1)} s later\n`)
          assert.isBelow(lost, 10)
        }).pipe(Effect.scoped),
      120_000
    )

    it.live(
      `go on within ten seconds after the network of the only worker is healed: ${fault}`,
      () =>
        Effect.gen(function*() {
          const name = fresh()
          const database = yield* network(postgres!.port)
          let healed = 0
          let messages: Network | undefined
          yield* worker(name, {
            database: database.port,
            network: async (listen) => {
              messages = await Network.to(listen)
              return messages.port
            },
            wait: 200,
            onDraw: ({ step }) => {
              if (step !== fatal || healed > 0) return
              healed = Infinity
              database.cut(fault)
              messages!.cut(fault)
              setTimeout(() => {
                healed = performance.now()
                database.heal()
                messages!.heal()
              }, 4000)
            }
          })
          const ends = new Map<number, number>()
          const found = yield* train(timed(ends, drawing(name)), rewards)
          messages!.close()
          assert.strictEqual(found, direct)
          assert.isTrue(healed > 0 && Number.isFinite(healed))
          const lost = seconds(healed, ends.get(fatal))
          assert.isAbove(lost, 0)
          process.stdout.write(`a network healed (${fault}): the step ended ${lost.toFixed(1)} s later\n`)
          assert.isBelow(lost, 10)
        }).pipe(Effect.scoped),
      120_000
    )
  }

  it.live("answer a message that is delivered twice once, with one answer", () =>
    Effect.gen(function*() {
      const name = fresh()
      const { drawn } = yield* worker(name, { wait: 100 })
      yield* Effect.gen(function*() {
        const store = yield* PolicyParameters
        const offered = yield* OfferedWeights
        const weights = yield* offered.offer(yield* store.snapshot("weights"))
        const client = yield* RolloutEntity.stored.client
        const [id] = yield* Shards.ids(RolloutEntity.stored, 1)
        const message = () =>
          new DrawGroups({
            session: "s",
            step: 9,
            attempt: 0,
            weights,
            prompts: Prompts.draw(data.sequences, 3, [1, 9])
          })
        const twice = yield* Effect.all([client(id!).Draw(message()), client(id!).Draw(message())], { concurrency: 2 })
        const late = yield* client(id!).Draw(message())
        assert.deepStrictEqual(twice[1], twice[0])
        assert.deepStrictEqual(late, twice[0])
        assert.deepStrictEqual(late.map(({ ordinal }) => ordinal), [0, 1, 2])
        assert.deepStrictEqual(drawn, [{ step: 9, ordinals: [0, 1, 2] }])
      }).pipe(
        Effect.scoped,
        Effect.provide(
          WeightsEntity.layerServer.pipe(
            Layer.provideMerge(OfferedWeights.layerEncoded),
            Layer.provideMerge(driver(name)),
            Layer.provideMerge(trained)
          )
        )
      )
    }).pipe(Effect.scoped), 120_000)

  it.live("end the step with an error that says what to do when there is no worker", () =>
    Effect.gen(function*() {
      const actor = Sockets.rollouts({ patience: "2 seconds" }).pipe(Layer.provide(driver(fresh())))
      const failed = yield* Effect.flip(train(actor, rewards))
      assert.include(failed.message, "no answer within 2s; start a worker")
    }), 60_000)
})
