/**
 * A worker of the tests: draws with the policy that counts, in a process of its own.
 *
 * Arguments: address of the database, name of the cluster, port to be reached at, port to listen on, milliseconds that a
 * message takes at least. Prints a line for every message: `draws STEP VERSION PROMPTS`.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Sockets from "../../layers/cluster/Sockets.ts"
import { RolloutActor } from "../../src/grpo/RolloutActor.ts"
import { policy, rewards, rollouts } from "./Fixture.ts"

const [url, name, port, listen, wait] = process.argv.slice(2)

const slow = Layer.effect(
  RolloutActor,
  Effect.map(RolloutActor, (actor) =>
    RolloutActor.of({
      generate: Effect.fnUntraced(function*(prompts, step) {
        const drawn = yield* actor.generate(prompts, step)
        yield* Console.log(`draws ${step} ${drawn[0]!.version} ${prompts.map(({ ordinal }) => ordinal).join(",")}`)
        yield* Effect.sleep(`${Number(wait)} millis`)
        return drawn
      })
    }))
).pipe(Layer.provide(rollouts))

const answers = Layer.merge(Sockets.answerRollouts(slow), Sockets.answerRewards(rewards)).pipe(
  Layer.provide(policy),
  Layer.provide(Sockets.layerWorker({
    url: url!,
    name: name!,
    address: { host: "127.0.0.1", port: Number(port) },
    listen: { host: "127.0.0.1", port: Number(listen) }
  }))
)

NodeRuntime.runMain(
  Layer.launch(Layer.merge(answers, Layer.effectDiscard(Console.log("ready")).pipe(Layer.provide(answers))))
)
